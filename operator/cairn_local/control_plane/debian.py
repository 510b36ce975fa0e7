"""Debian packages without installing any: a private apt that reads the machine's own Debian sources.

The machine's package state is neither read nor changed: lists, cache and preferences live in a folder of
the caller's. Only the sources, keys and proxy settings are shared, so a mirror configured for the machine
is the one used here. Used by `source_build`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

APT_DIRECTORY = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")

_ONE_LINE = re.compile(
    r"^deb\s+(?P<options>\[[^\]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$"
)


class DebianError(Exception):
    """A Debian package could not be had; the message says which and what apt said."""


@dataclass(frozen=True)
class AptSources:
    """The Debian part of a machine's apt sources, with source packages switched on."""

    one_line: str
    """Content of a `.list` file."""
    deb822: str
    """Content of a `.sources` file."""

    def __bool__(self) -> bool:
        return bool(self.one_line or self.deb822)


def debian_sources(files: Mapping[str, str], codename: str) -> AptSources:
    """Derive sources for binary and source packages of Debian `codename` from apt's own source files.

    `files` maps file names (`….list` or `….sources`) to contents. Entries of other suites and disabled
    entries are left out: a third party's archive has nothing we need and may be unreachable.
    """
    lines: list[str] = []
    stanzas: list[str] = []
    for name, content in sorted(files.items()):
        if name.endswith(".list"):
            lines += _one_line_entries(content, codename)
        elif name.endswith(".sources"):
            stanzas += _deb822_entries(content, codename)
    return AptSources("".join(f"{line}\n" for line in lines), "\n".join(stanzas))


def _is_debian(uris: str, suites: str, components: str, codename: str) -> bool:
    """Whether an entry is for this release's own suites alone."""
    wanted = {codename, f"{codename}-updates", f"{codename}-security", f"{codename}/updates"}
    named = suites.split()
    return "main" in components.split() and bool(named) and wanted.issuperset(named) and "cdrom:" not in uris


def _one_line_entries(content: str, codename: str) -> list[str]:
    entries: list[str] = []
    for raw in content.splitlines():
        match = _ONE_LINE.match(raw.split("#", 1)[0].strip())
        if match and _is_debian(match["uri"], match["suite"], match["components"], codename):
            rest = f"{match['options'] or ''}{match['uri']} {match['suite']} main"
            entries += [f"deb {rest}", f"deb-src {rest}"]
    return entries


def _deb822_entries(content: str, codename: str) -> list[str]:
    stanzas: list[str] = []
    without_comments = "\n".join(line for line in content.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", without_comments):
        fields = _deb822_fields(stanza)
        enabled = fields.get("enabled", "yes").lower() not in {"no", "false", "0"}
        binary = "deb" in fields.get("types", "").split()
        where = (fields.get("uris", ""), fields.get("suites", ""), fields.get("components", ""))
        if enabled and binary and _is_debian(*where, codename):
            stanzas.append(re.sub(r"(?im)^types:.*$", "Types: deb deb-src", stanza.strip("\n")) + "\n")
    return stanzas


def _deb822_fields(stanza: str) -> dict[str, str]:
    """Field names in lower case; continuation lines (an embedded key) belong to the field above."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def codename(os_release: Path = OS_RELEASE) -> str:
    """This machine's Debian release (`bookworm`); empty when it does not say."""
    if not os_release.exists():
        return ""
    match = re.search(r'(?m)^VERSION_CODENAME="?(\w+)"?$', os_release.read_text())
    return match[1] if match else ""


class PrivateApt:
    """apt whose state lives in `directory`; nothing on the machine is installed or changed."""

    def __init__(self, directory: Path, apt_directory: Path = APT_DIRECTORY) -> None:
        """Prepare the configuration. Raises DebianError when the machine has no Debian archive configured."""
        self._directory = directory
        files = [apt_directory / "sources.list", *(apt_directory / "sources.list.d").glob("*")]
        contents = {str(path): path.read_text() for path in files if path.is_file()}
        release = codename()
        sources = debian_sources(contents, release)
        if not sources:
            raise DebianError(
                f"no Debian archive for {release or 'this system'} among the sources in {apt_directory}: "
                "add one, or point KUBEBUILDER_ASSETS at a folder with etcd and kube-apiserver"
            )
        self._update_complaints = ""
        self._configuration = self._write_configuration(sources)

    def _write_configuration(self, sources: AptSources) -> Path:
        parts = self._directory / "sources"
        for folder in (
            parts,
            self._directory / "state/lists/partial",
            self._directory / "cache/archives/partial",
        ):
            folder.mkdir(parents=True, exist_ok=True)
        if sources.one_line:
            (parts / "debian.list").write_text(sources.one_line)
        if sources.deb822:
            (parts / "debian.sources").write_text(sources.deb822)
        status = self._directory / "state/status"
        status.touch()
        configuration = self._directory / "apt.conf"
        # The download runs as this user because the _apt user cannot enter a private cache directory;
        # signatures are checked all the same. Hooks of the machine's own `apt update` are not ours to run.
        configuration.write_text(
            f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{parts}";\n'
            f'Dir::State "{self._directory / "state"}";\nDir::State::status "{status}";\n'
            f'Dir::Cache "{self._directory / "cache"}";\n'
            'APT::Sandbox::User "root";\nAcquire::Retries "3";\n'
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n"
            "#clear APT::Update::Post-Invoke-Success;\n"
        )
        return configuration

    def _run(self, *argv: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [argv[0], "-c", str(self._configuration), *argv[1:]]
        try:
            return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise DebianError(f"{argv[0]} is missing: this is not a Debian machine") from error

    def update(self) -> None:
        """Fetch the package lists. One archive out of reach is no error here; a package missing later is."""
        self._update_complaints = self._run("apt-get", "-q", "update").stderr.strip()

    def source_version(self, package: str) -> str:
        """Newest version of a source package. Raises DebianError when the archive has none."""
        shown = self._run("apt-cache", "showsrc", "--only-source", package)
        versions = re.findall(r"(?m)^Version: (\S+)$", shown.stdout)
        if not versions:
            raise DebianError(
                f"no source package {package}: {shown.stderr.strip()}\n{self._update_complaints}"
            )
        newest: str = versions[0]
        for version in versions[1:]:
            if (
                subprocess.run(["dpkg", "--compare-versions", version, "gt", newest], check=False).returncode
                == 0
            ):
                newest = version
        return newest

    def download_source(self, package: str, version: str, into: Path) -> Path:
        """Download a source package (checksums verified by apt) and return its upstream tarball."""
        result = self._run(
            "apt-get", "-q", "source", "--download-only", f"{package}={version}", directory=into
        )
        tarballs = sorted(into.glob(f"{package}_*.orig.tar.*"))
        if result.returncode != 0 or not tarballs:
            raise DebianError(f"cannot download the source of {package} {version}: {result.stderr.strip()}")
        return tarballs[0]

    def unpack(self, packages: Sequence[str], into: Path) -> None:
        """Download binary packages (checksums verified by apt) and unpack their files below `into`."""
        archives = self._directory / "packages"
        archives.mkdir(exist_ok=True)
        result = self._run("apt-get", "-q", "download", *packages, directory=archives)
        if result.returncode != 0:
            raise DebianError(f"cannot download {' '.join(packages)}: {result.stderr.strip()}")
        into.mkdir(parents=True, exist_ok=True)
        for package in packages:
            for archive in archives.glob(f"{package}_*.deb"):
                subprocess.run(["dpkg-deb", "-x", str(archive), str(into)], check=True, capture_output=True)
