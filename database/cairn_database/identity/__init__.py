"""The built-in identity in SQL: domains, users, groups, roles and who has them, credentials, keys.

Whatever can make a token, or the roles it stands for, invalid raises the `revision` in the same transaction
(revision.py): a process that has seen a token before needs to look at one number only.
"""
