"""The private apt takes the machine's own Debian sources and nobody else's."""

from __future__ import annotations

from cairn_local.control_plane.debian import debian_sources

DEB822 = """\
# written by the installer
Types: deb
# a comment in the middle
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGPL0BUBEADmW5NdOOHwPIJlgPu6JDcKw/NZJPR8lsD3K87ZM18gzyQZJD+w
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""

ONE_LINE = """\
deb cdrom:[Debian GNU/Linux 12.0.0 _Bookworm_ - Official]/ bookworm main
deb http://mirror.example/debian bookworm main contrib non-free-firmware # the archive
deb [arch=amd64 signed-by=/keys/x.gpg] https://mirror.example/debian-security bookworm-security main
# deb http://mirror.example/debian bookworm-backports main
deb-src http://mirror.example/debian bookworm main
"""


def test_deb822_sources_get_source_packages_and_keep_their_key() -> None:
    sources = debian_sources({"debian.sources": DEB822}, "bookworm")
    assert sources.deb822.count("Types: deb deb-src\n") == 2
    assert "Suites: bookworm bookworm-updates\n" in sources.deb822
    assert " mQINBGPL0BUBEADmW5NdOOHwPIJlgPu6JDcKw/NZJPR8lsD3K87ZM18gzyQZJD+w\n" in sources.deb822
    assert "#" not in sources.deb822
    assert sources.one_line == ""


def test_one_line_sources_get_source_packages_and_keep_their_options() -> None:
    sources = debian_sources({"sources.list": ONE_LINE}, "bookworm")
    assert sources.one_line.splitlines() == [
        "deb http://mirror.example/debian bookworm main",
        "deb-src http://mirror.example/debian bookworm main",
        "deb [arch=amd64 signed-by=/keys/x.gpg] https://mirror.example/debian-security"
        " bookworm-security main",
        "deb-src [arch=amd64 signed-by=/keys/x.gpg] https://mirror.example/debian-security"
        " bookworm-security main",
    ]


def test_other_archives_disabled_entries_and_other_files_are_left_out() -> None:
    sources = debian_sources(
        {
            "node.sources": "Types: deb\nURIs: https://node.example\nSuites: nodistro\nComponents: main\n",
            "docker.list": "deb https://docker.example/linux/debian bookworm stable\n",
            "sdk.list": "deb https://cloud.example/apt cloud-sdk-bookworm main\n",
            "off.sources": DEB822.replace("Types: deb", "Enabled: no\nTypes: deb"),
            "debian.list.save": ONE_LINE,
        },
        "bookworm",
    )
    assert not sources


def test_another_release_is_left_out() -> None:
    assert not debian_sources({"debian.sources": DEB822}, "trixie")
    assert not debian_sources({"debian.sources": DEB822}, "")
