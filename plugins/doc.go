// Package plugins is the SDK for clinvk backend plugins.
//
// A backend plugin is a program named clinvk-backend-NAME that answers prompts,
// usually by driving one AI CLI. Its author writes a type with the four methods
// of [Backend] and hands it to [Serve]; everything else about being a plugin
// (handshake, transport security, sequence numbers, the terminal rule, UTF-8,
// panics, shutdown) is done here. Abilities beyond the four methods are small
// optional interfaces; what a backend implements is what the host asks it for.
//
//	func main() {
//		plugins.Serve(myBackend{}, plugins.WithVersion(version))
//	}
package plugins
