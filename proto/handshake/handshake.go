// Package handshake holds the constants that a host and a plugin must agree on
// before the contract (proto/clinvk/backend/v1) can be spoken: go-plugin's
// cookie, the protocol version, environment names and message bounds.
package handshake

// ProtocolVersion is go-plugin's application protocol version; it equals the
// major version of the contract package (1 ↔ v1).
const ProtocolVersion = 1

// The magic cookie tells a plugin that it was started by a clinvk host. It is a
// courtesy to people who start a plugin by hand, not a security measure.
const (
	CookieKey   = "CLINVK_PLUGIN_COOKIE"
	CookieValue = "5b0e2f1c-clinvk-backend-plugin-v1"
)

// PluginSet is the name under which go-plugin dispenses the backend service.
const PluginSet = "backend"

// NamePrefix begins the file name of every plugin: clinvk-backend-NAME.
const NamePrefix = "clinvk-backend-"

// Environment of a plugin process.
const (
	// EnvStdinGuard set to "1" promises that stdin is a pipe held by the host:
	// the plugin exits when it reads EOF there.
	EnvStdinGuard = "CLINVK_STDIN_GUARD"
	// EnvInstance identifies the plugin process and all its descendants; the host
	// finds leftovers by it. A plugin must hand it on to what it starts.
	EnvInstance = "CLINVK_INSTANCE"
	// EnvSocketDir names the private directory in which the plugin must listen.
	EnvSocketDir = "PLUGIN_UNIX_SOCKET_DIR"
)

// Message bounds, in bytes. Without them a plugin that answers 100 MiB cost the
// host 326 MB of memory (go-plugin's own limit is 2 GiB).
const (
	MaxFromPlugin = 8 << 20
	MaxToPlugin   = 64 << 20
)

// HTTP/2 windows, in bytes. That of a stream is the back-pressure of a slow reader;
// that of a connection is for dozens of streams. Fixed ones, other than the ones
// that gRPC adapts, need no measuring pings: these cost two writes in each turn.
const (
	StreamWindow     = 64 << 10
	ConnectionWindow = 4 << 20
)

// MaxSessionToken bounds session and live tokens, in bytes.
const MaxSessionToken = 4 << 10
