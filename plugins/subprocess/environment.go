package subprocess

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/clinvk/clinvk/proto/handshake"
)

// envProcess marks a process and its descendants, so that those that left the
// group are found.
const envProcess = "CLINVK_PROCESS"

// startedAt keeps cookies of a reused pid apart.
var startedAt = time.Now().UnixNano()

// inherited are the variables that a CLI gets from the plugin's environment.
var inherited = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
	"SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PATHEXT", "COMSPEC", "TEMP", "TMP",
	handshake.EnvInstance,
}

// inheritedPrefixes are families of such variables.
var inheritedPrefixes = []string{"LC_", "XDG_"}

// Environment is what a CLI gets: the harmless variables of this process (an
// allow-list, so that no secret goes where it does not belong), what the operator
// granted, and what the backend sets, in this order; later ones win. An empty
// value in set removes a variable.
func Environment(granted, set map[string]string) []string {
	vars := map[string]string{}
	for _, kv := range os.Environ() {
		if name, value, ok := strings.Cut(kv, "="); ok && inherits(name) {
			vars[name] = value
		}
	}
	for name, value := range granted {
		vars[name] = value
	}
	for name, value := range set {
		if value == "" {
			delete(vars, name)
			continue
		}
		vars[name] = value
	}
	out := make([]string, 0, len(vars))
	for name, value := range vars {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

func inherits(name string) bool {
	if slices.Contains(inherited, name) {
		return true
	}
	return slices.ContainsFunc(inheritedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}
