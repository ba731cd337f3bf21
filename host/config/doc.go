// Package config is the configuration: defaults, the file, and the variables of the
// environment, each over the one before. Unknown keys and impossible values are
// errors that name the line and column, or the variable.
package config
