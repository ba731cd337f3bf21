package runner

import (
	"errors"
	"maps"
	"slices"
)

// ErrNotMeasured is returned where the system does not tell what the processes of
// a tree use.
var ErrNotMeasured = errors.New("this system does not tell what a plugin's processes use")

// Usage is what a plugin process and all that it started use.
type Usage struct {
	// Memory in bytes: the sum of the resident sets, and where that comes near the
	// limit, of the proportional ones. Resident sets count a page that several
	// processes share (a CLI's program, above all) once for each of them, so they are
	// never too small and cost one short read; the proportional ones are exact and
	// cost the kernel a walk over all pages.
	Memory int64
	// Processes that run; those that have ended and wait for their parent do not count.
	Processes int
	// Members are these processes, in no order.
	Members []Member
}

// Member is one process of a tree.
type Member struct {
	PID int
	// Parent is the pid of its parent, which need not be a member.
	Parent int
	// Name of the program, as the kernel has it.
	Name string
	// Memory in bytes.
	Memory int64
	// Plugin says that it is the plugin's process itself.
	Plugin bool
	// Started is in ticks since boot; with the pid it names one process for ever.
	Started uint64
}

// Biggest is the member that uses the most memory; false: there is none.
func (u Usage) Biggest() (Member, bool) {
	var biggest Member
	for _, m := range u.Members {
		if m.Memory > biggest.Memory || biggest.PID == 0 {
			biggest = m
		}
	}
	return biggest, biggest.PID != 0
}

// Crowds are the parts of the tree that have the most processes, largest first, until
// they are least processes together. A part is a child of the plugin with its
// descendants, or all that have lost their parents. The plugin itself is in none.
func (u Usage) Crowds(least int) []Member {
	byPID := make(map[int]Member, len(u.Members))
	for _, m := range u.Members {
		byPID[m.PID] = m
	}
	branches := map[int][]Member{}
	for _, m := range u.Members {
		if !m.Plugin {
			top := branch(m, byPID)
			branches[top] = append(branches[top], m)
		}
	}
	largest := slices.SortedFunc(maps.Values(branches), func(a, b []Member) int { return len(b) - len(a) })
	var crowds []Member
	for _, c := range largest {
		if len(crowds) >= least {
			break
		}
		crowds = append(crowds, c...)
	}
	return crowds
}

// branch is the pid of the plugin's child that m descends from; 0: its line was cut.
func branch(m Member, byPID map[int]Member) int {
	for range byPID { // a loop would need a pid that was reused in the midst of the look
		parent, ok := byPID[m.Parent]
		if !ok {
			return 0
		}
		if parent.Plugin {
			return m.PID
		}
		m = parent
	}
	return 0
}
