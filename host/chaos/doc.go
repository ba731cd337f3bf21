// Package chaos shows what the isolation of plugins is worth: it runs a server with
// a backend under load, kills and stops its plugin, gives it neighbours that break
// every rule, and reports who was hurt.
package chaos
