//go:build linux && race

package isolation_test

// slowness is how much slower than as shipped everything may be: the race detector
// makes programs five to twenty times slower.
const slowness = 10
