#!/bin/sh
# Unpack a PostgreSQL 17 with TimescaleDB's Apache edition below build/timescale-apache, or below $1: Debian 13's packages
# with every library that they need, the C library included, so that they run on an older or a newer system.
# Needs apt and Debian's keyring, a minute and 400 MB; not root. Installs nothing. Prints the directory of the programs.
set -eu
root=$(mkdir -p "${1:-build/timescale-apache}" && cd "${1:-build/timescale-apache}" && pwd)
programs=$root/usr/lib/postgresql/17/bin
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '%s\n' "$*" >&2; }

if [ -e "$root/complete" ]; then
    echo "$programs"
    exit
fi
if ! command -v apt-get >/dev/null || ! [ -e "$keyring" ]; then
    say "This needs a Debian system: apt-get and $keyring (apt install debian-archive-keyring)."
    exit 2
fi
# The mirror that this system uses itself.
mirror() {
    # shellcheck disable=SC2016 # the words in $() are apt's
    apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 ~ /^[a-z]+$/ && $3 == "main" { print $4; exit }'
}
if [ -z "$(mirror)" ] && [ "$(id -u)" = 0 ]; then
    apt-get update -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15
fi
mirror=$(mirror)
if [ -z "$mirror" ]; then
    say "apt has no list of Debian's packages yet: run apt-get update once, as root."
    exit 2
fi

# An apt of its own, which believes that nothing is installed.
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
: >"$apt/status"
echo "deb [signed-by=$keyring] $mirror trixie main" >"$apt/sources.list"
cat >"$apt/apt.conf" <<EOF
Dir::State "$apt"; Dir::State::status "$apt/status"; Dir::Cache "$apt";
Dir::Etc::sourcelist "$apt/sources.list"; Dir::Etc::sourceparts "-";
APT::Install-Recommends "false"; APT::Sandbox::User "$(id -un)"; Acquire::Languages "none";
Acquire::Retries "1"; Acquire::http::Timeout "15"; Acquire::https::Timeout "15";
EOF
export APT_CONFIG="$apt/apt.conf"
apt-get update -qq --error-on=any || {
    say "apt cannot fetch Debian's lists: is there a network?"
    exit 2
}
apt-get install -qq --yes --download-only postgresql-17-timescaledb >/dev/null

for package in "$apt"/archives/lib*.deb "$apt"/archives/zlib1g_*.deb "$apt"/archives/postgresql-17*.deb; do
    case ${package##*/} in
    libllvm* | libz3* | libperl* | lib*-perl_*) ;; # for compiling queries, which is not worth 200 MB here
    *) dpkg-deb --extract "$package" "$root" ;;
    esac
done
rm -f "$root"/usr/lib/postgresql/17/lib/llvmjit*.so

# The programs go by the C library that came with them. They find each other, and what they share, from where they lie.
for name in postgres initdb; do
    mv "$programs/$name" "$programs/$name.elf"
    cat >"$programs/$name" <<'EOF'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
libraries=$(echo "$here"/../../../*-linux-gnu)
exec "$libraries"/ld-linux-*.so.? --library-path "$libraries" --argv0 "$here/${0##*/}" "$here/${0##*/}.elf" "$@"
EOF
    chmod 755 "$programs/$name"
done
"$programs/postgres" --version >&2
: >"$root/complete"
echo "$programs"
