// Package gate lets turns in to one backend, first come first served, as many at a time
// as its limits have it, and none while its processes use too much.
package gate
