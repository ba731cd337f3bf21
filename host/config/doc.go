// Package config is the server's configuration: the file, its defaults and the
// variables of the environment that override it. Unknown keys and impossible
// values are errors that name the line.
package config
