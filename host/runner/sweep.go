package runner

import "time"

// sweepRounds bounds a sweep: a process may fork while it is looked for, but one
// that forks faster than we kill must not hold us.
const sweepRounds = 20

// sweepPause is between two looks at a process that executes another program: its
// environment is there again when the kernel has read the program.
const sweepPause = time.Millisecond

// Sweep ends what plugins of dead hosts left running and returns how many
// processes it killed. Plugins of living hosts, this one included, are never
// touched. Call it before plugins are started.
func Sweep() int {
	return sweep(func(instance string) bool {
		host, ok := hostOf(instance)
		return ok && hostDead(host)
	})
}

// SweepOwn ends what this host's own plugins left running and returns how many
// processes it killed. Call it when all plugins have ended: there should be none.
func SweepOwn() int {
	return sweep(func(instance string) bool {
		host, ok := hostOf(instance)
		return ok && host == HostID()
	})
}

// sweepInstance kills every process of one plugin, also those that left its
// process group (setsid, double fork): the environment is inherited by all.
func sweepInstance(instance string) {
	sweep(func(other string) bool { return other == instance })
}

func sweep(match func(instance string) bool) int {
	killed := map[int]bool{} // a process is seen again until it has ended
	for round := range sweepRounds {
		found, unsure := sweepOnce(match)
		for _, pid := range found {
			killed[pid] = true
		}
		switch {
		case len(found) > 0:
		case len(unsure) == 0:
			return len(killed)
		case round == sweepRounds-1:
			settle(unsure)
		default:
			time.Sleep(sweepPause) // there is nothing to wait for but another look
		}
	}
	return len(killed)
}
