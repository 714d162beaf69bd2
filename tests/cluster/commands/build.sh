#!/bin/sh
# Builds the commands of the test cluster (Kubernetes and helm), unless they are in the cache already; prints their
# directory. With "control-plane" only those that a cluster without nodes needs, which is half the time.
# The cache lies outside the tree: $PODCORDER_CACHE, else $XDG_CACHE_HOME/podcorder, else ~/.cache/podcorder.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${PODCORDER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podcorder}/cluster
control_plane="kube-apiserver kubectl"
nodes="kube-controller-manager kube-scheduler kubelet kube-proxy"

case ${1:-all} in
control-plane) wanted=$control_plane ;;
all) wanted="$control_plane $nodes helm" ;;
*)
	echo "build.sh: $1 is not known: say control-plane, or nothing for all commands" >&2
	exit 2
	;;
esac

# The versions are part of the name, so that a changed recipe is built anew.
recipe=$(cat "$here/build.sh" "$here"/*/go.mod | cksum | cut -d' ' -f1)
commands=$cache/$recipe

build() {
	case $1 in
	helm) module=helm package=helm.sh/helm/v4/cmd/helm ;;
	*) module=kubernetes package=k8s.io/kubernetes/cmd/$1 ;;
	esac
	version=$(sed -n 's,^\tk8s.io/kubernetes \(v[0-9.]*\).*,\1,p' "$here/kubernetes/go.mod")
	# Without these the commands call themselves v0.0.0, and clients judge the skew by it.
	flags="-s -w"
	for variable in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags="$flags -X $variable.gitVersion=$version -X $variable.gitMajor=1 -X $variable.gitMinor=$(echo "$version" | cut -d. -f2)"
	done
	echo "Building $1 ..." >&2
	(cd "$here/$module" && CGO_ENABLED=0 go build -trimpath -ldflags "$flags" -o "$commands/$1.new" "$package") >&2
	mv "$commands/$1.new" "$commands/$1"
}

mkdir -p "$commands"
for command in $wanted; do
	if [ ! -x "$commands/$command" ]; then
		command -v go >/dev/null || {
			echo "build.sh: the test cluster is built with Go: install Go 1.26 or newer" >&2
			exit 1
		}
		# One build at a time; whoever waited finds the command.
		exec 9>"$cache/lock"
		flock 9
		[ -x "$commands/$command" ] || build "$command"
		exec 9>&-
	fi
done
echo "$commands"
