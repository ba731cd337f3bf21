//go:build !linux && !darwin && !windows

package runner

// MachineMemory is not known here.
func MachineMemory() int64 { return 0 }
