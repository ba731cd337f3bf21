// Package engine runs turns: it resolves a model's name to a backend, admits the
// turn to that backend's queue, finds the live conversation that already holds
// its history, calls the plugin and hands back one kind of event, error and
// usage, whatever went on. It knows neither HTTP nor processes.
package engine
