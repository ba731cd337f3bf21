//go:build linux && !race

package isolation_test

// slowness is how much slower than as shipped everything may be.
const slowness = 1
