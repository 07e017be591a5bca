# What the servers are made of: Debian packages, and a cache of what other registries have. Sourced by scripts/stack.

has() { command -v "$1" >/dev/null 2>&1; }

# need PROGRAM PACKAGE: prints the package when the program is missing.
need() { has "$1" || printf '%s\n' "$2"; }

missing_packages() {
    local name
    for name; do "${name}_missing"; done | sort -u
}

# install_missing SERVICE…: all that is missing, or one sentence with all that somebody else has to install.
install_missing() {
    local packages name
    mapfile -t packages < <(missing_packages "$@")
    if ((${#packages[@]})); then
        install_packages "${packages[@]}"
        mapfile -t packages < <(missing_packages "$@")
        ((${#packages[@]} == 0)) || die "still missing after the installation, or too old: ${packages[*]}"
    fi
    mkdir -p "$cache"
    exec 7> "$cache/lock"
    flock 7
    for name; do "${name}_install"; done
    exec 7>&-
}

install_packages() {
    if ! has apt-get || [ "$(id -u)" != 0 ]; then
        die "missing: $*. Install what these Debian packages hold, such as by: sudo apt-get install $*"
    fi
    say "installing $*"
    quietly apt-get -qq update
    DEBIAN_FRONTEND=noninteractive quietly apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@"
}

# quietly COMMAND…: its output is shown only when it fails.
quietly() {
    local output
    output=$("$@" 2>&1 7>&- 8>&- 9>&- </dev/null) || {
        printf '%s\n' "$output" | tail -n 20 >&2
        die "failed: $*"
    }
}

# debian_archive: the mirror this machine uses; nothing on another system.
debian_archive() {
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || return 1
    { cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true; } |
        awk '$1 == "URIs:" { print $2; exit } $1 == "deb" { sub(/^deb +(\[[^]]*\] +)?/, ""); print $1; exit }'
}

# unpack_debian SUITE PACKAGE FOLDER: the package's files from another suite, unpacked into FOLDER, nothing installed.
unpack_debian() {
    local suite=$1 package=$2 folder=$3 archive work options
    archive=$(debian_archive) && [ -n "$archive" ] || return 1
    work=$(mktemp -d)
    mkdir -p "$work"/{lists/partial,archives/partial}
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main" > "$work/sources.list"
    options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
        -o "Dir::Cache=$work" -o APT::Sandbox::User=root -o Acquire::Languages=none)
    quietly apt-get "${options[@]}" -qq update
    (cd "$work" && quietly apt-get "${options[@]}" -qq download "$package")
    dpkg-deb -x "$work/$package"_*.deb "$folder"
    rm -rf "$work"
}
