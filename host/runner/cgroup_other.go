//go:build !linux

package runner

// prepareGroups has nothing to do: there are no cgroups.
func prepareGroups() {}
