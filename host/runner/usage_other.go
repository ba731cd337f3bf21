//go:build !linux

package runner

// Meter measures nothing here: macOS tells a process's memory by calls that need
// cgo only, and on Windows the job object has the limits itself.
type Meter struct{}

// NewMeter makes one.
func NewMeter() *Meter { return &Meter{} }

// Measure always fails with ErrNotMeasured.
func (*Meter) Measure([]*Process, func(*Process) int64) (map[*Process]Usage, error) {
	return nil, ErrNotMeasured
}

// Kill cannot be needed: there are no members.
func (Member) Kill() error { return ErrNotMeasured }
