package runner

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// memoryStatus is MEMORYSTATUSEX.
type memoryStatus struct {
	length, load                                                                         uint32
	total, available, totalPage, availablePage, totalVirtual, availableVirtual, extended uint64
}

var globalMemoryStatus = windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")

// MachineMemory is the machine's memory in bytes; 0: the system does not tell.
func MachineMemory() int64 {
	s := memoryStatus{}
	s.length = uint32(unsafe.Sizeof(s))
	if ok, _, _ := globalMemoryStatus.Call(uintptr(unsafe.Pointer(&s))); ok == 0 { //nolint:gosec // the call wants it so
		return 0
	}
	return int64(s.total) //nolint:gosec // no machine has 8 EiB
}
