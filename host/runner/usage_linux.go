package runner

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Meter measures the trees of plugin processes. It remembers whose each process of
// the machine is, so that an environment is read once. It is used by one goroutine.
type Meter struct {
	known map[identity]*Process // nil: nobody's
	buf   []byte
}

// identity is a pid and a start time: never the same for two processes.
type identity struct {
	pid     int
	started uint64
}

// NewMeter makes one that knows nothing.
func NewMeter() *Meter {
	return &Meter{known: map[identity]*Process{}, buf: make([]byte, 4096)}
}

// Measure looks once at all processes of the machine and tells what the trees of
// these plugin processes use. One that does not run is not in the result. near is
// from which sum on the memory of a tree is measured exactly.
//
// A process is of a tree when the plugin process started it, directly or not: its
// parent is of the tree, or, when that has ended, its environment carries the mark
// that all descendants inherit. Once seen it stays so, whatever it becomes. What
// clears its environment and loses its parent between two looks is not found.
func (m *Meter) Measure(plugins []*Process, near func(*Process) int64) (map[*Process]Usage, error) {
	look, err := m.look(plugins)
	if err != nil {
		return nil, err
	}
	usage := map[*Process]Usage{}
	for _, s := range look {
		if s.owner == nil || s.ended {
			continue
		}
		u := usage[s.owner]
		u.Processes++
		u.Memory += s.Memory
		u.Members = append(u.Members, s.Member)
		usage[s.owner] = u
	}
	for p, u := range usage {
		if limit := near(p); limit > 0 && u.Memory >= limit {
			u.exact()
			usage[p] = u
		}
	}
	return usage, nil
}

// seen is a process with what is known about it.
type seen struct {
	Member
	owner *Process
	ended bool
}

// look reads the process table and settles whose each process is.
func (m *Meter) look(plugins []*Process) (map[int]*seen, error) {
	proc, err := os.Open("/proc")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNotMeasured, err)
	}
	if err != nil { // for want of descriptors, say: the next look may work
		return nil, fmt.Errorf("reading the process table: %w", err)
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("reading the process table: %w", err)
	}
	table := make(map[int]*seen, len(names))
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if s, ok := m.stat(name); ok {
			table[s.PID] = s
		}
	}
	byInstance := make(map[string]*Process, len(plugins))
	for _, p := range plugins {
		byInstance[p.instance] = p
		if s := table[p.PID()]; s != nil && !p.gone() {
			// Between fork and exec it has not the mark yet, and may have been seen so.
			s.owner, s.Plugin = p, true
			m.known[identity{s.PID, s.Started}] = p
		}
	}
	m.own(table, byInstance)
	return table, nil
}

// own settles the owners: known ones first, so that a child is recognised by its
// parent wherever it stands in the table.
func (m *Meter) own(table map[int]*seen, byInstance map[string]*Process) {
	known := make(map[identity]*Process, len(table))
	var fresh []*seen
	for _, s := range table {
		id := identity{s.PID, s.Started}
		owner, ok := m.known[id]
		if !ok {
			fresh = append(fresh, s)
			continue
		}
		s.owner, known[id] = owner, owner
	}
	for _, s := range fresh {
		s.owner = m.ownerOf(s, table, byInstance)
		known[identity{s.PID, s.Started}] = s.owner
	}
	m.known = known
}

// ownerOf finds the owner of a process that was not seen before.
func (m *Meter) ownerOf(s *seen, table map[int]*seen, byInstance map[string]*Process) *Process {
	for up, steps := s, 0; steps < len(table); steps++ {
		parent := table[up.Parent]
		if parent == nil {
			break
		}
		if parent.owner != nil {
			return parent.owner
		}
		up = parent
	}
	env, err := os.ReadFile("/proc/" + strconv.Itoa(s.PID) + "/environ")
	if err != nil { // it is another user's, or gone
		return nil
	}
	instance, ok := instanceOf(env)
	if !ok {
		return nil
	}
	return byInstance[instance]
}

// stat reads one process; false: it is gone.
func (m *Meter) stat(name string) (*seen, bool) {
	pid, err := strconv.Atoi(name)
	if err != nil {
		return nil, false
	}
	f, err := os.Open("/proc/" + name + "/stat")
	if err != nil {
		return nil, false
	}
	defer f.Close()
	n, err := f.Read(m.buf)
	if err != nil {
		return nil, false
	}
	return parseStat(pid, m.buf[:n])
}

var pageSize = int64(os.Getpagesize())

// parseStat reads /proc/PID/stat.
func parseStat(pid int, stat []byte) (*seen, bool) {
	// The second field is the name in parentheses and may hold anything.
	begin, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if begin < 0 || end < begin {
		return nil, false
	}
	fields := bytes.Fields(stat[end+1:])
	const state, parent, started, resident = 0, 1, 22 - 3, 24 - 3 // counted from the third field
	if len(fields) <= resident {
		return nil, false
	}
	ppid, err := strconv.Atoi(string(fields[parent]))
	if err != nil {
		return nil, false
	}
	ticks, err := strconv.ParseUint(string(fields[started]), 10, 64)
	if err != nil {
		return nil, false
	}
	pages, err := strconv.ParseInt(string(fields[resident]), 10, 64)
	if err != nil {
		return nil, false
	}
	s := &seen{Member: Member{PID: pid, Parent: ppid, Name: string(stat[begin+1 : end]), Memory: pages * pageSize, Started: ticks}}
	s.ended = fields[state][0] == 'Z' || fields[state][0] == 'X'
	return s, true
}

// exact replaces resident by proportional sizes, where the kernel tells them.
func (u *Usage) exact() {
	u.Memory = 0
	for i := range u.Members {
		m := &u.Members[i]
		if pss, ok := proportional(m.PID); ok {
			m.Memory = pss
		}
		u.Memory += m.Memory
	}
}

// proportional is a process's proportional set size in bytes.
func proportional(pid int) (int64, bool) {
	rollup, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0, false
	}
	_, rest, ok := bytes.Cut(rollup, []byte("\nPss:"))
	if !ok {
		return 0, false
	}
	value, _, _ := bytes.Cut(rest, []byte(" kB"))
	kb, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
	return kb << 10, err == nil
}

// Kill ends the process that was measured, and no other that got its pid since.
func (m Member) Kill() error {
	fd, err := unix.PidfdOpen(m.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err == nil {
		defer unix.Close(fd)
	}
	// With the descriptor the pid cannot change hands from here on; old kernels and
	// strict sandboxes have none.
	now, startErr := processStart(m.PID)
	if startErr != nil || now != m.Started {
		return nil // it has ended
	}
	if err == nil {
		err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	} else {
		err = unix.Kill(m.PID, unix.SIGKILL)
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending process %d: %w", m.PID, err)
	}
	return nil
}
