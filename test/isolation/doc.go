// Package isolation shows that no plugin, however broken or hostile, hurts the
// server or anybody else: whole hosts with a plugin for every fault beside a
// healthy one. docs/isolation.md is its table of contents.
package isolation
