# shellcheck shell=bash
# Before the package postgresql-$1 makes its cluster: write down in $2 that there is none yet. Where that was written down
# and the package was then cut off, take away what it had made, and say what that was. The data is only put aside: should
# it be somebody's who has put it there since, nothing is lost.
version=$1
none_yet=$2
data=/var/lib/postgresql/$version/main
config=/etc/postgresql/$version/main

if [ ! -e "$none_yet" ]; then
  [ -e "$data" ] || [ -e "$config/postgresql.conf" ] || touch "$none_yet"
  exit
fi
state=$(dpkg-query --show --showformat '${db:Status-Status}' "postgresql-$version" 2>/dev/null || true)
[ "$state" = half-configured ] || exit 0
systemctl stop "postgresql@$version-main.service"
if [ -e "$data" ]; then
  mv --verbose "$data" "$data.cut-off-$(date --utc +%Y%m%dT%H%M%SZ)"
fi
for path in "$config"/{postgresql,pg_hba,pg_ident,pg_ctl,start}.conf "$config/environment"; do
  [ -e "$path" ] || continue
  rm --verbose "$path"
done
