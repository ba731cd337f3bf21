//go:build !linux && !darwin

package runner

// sweepOnce finds nothing: on Windows the job object ends all descendants, also
// when the host dies; other systems tell no process's environment.
func sweepOnce(func(instance string) bool) (killed, unsure []int) { return nil, nil }

// settle has nothing to remember.
func settle([]int) {}
