package runner

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/clinvk/clinvk/proto/handshake"
)

// A host is a process of ours. Its identity is pid, start time and a digest of
// boot and pid namespace, each in base 36, joined by "-": short, because it is
// part of socket paths, and never the same for two processes. A pid alone would
// be: it is reused, and in a container means another process.

// HostID identifies this process: the plugins and the directories it makes carry
// it, so that leftovers can be told from what a living host uses.
var HostID = sync.OnceValue(func() string {
	start, err := processStart(os.Getpid())
	if err != nil {
		start = 0 // such hosts are told apart by pid and boot alone
	}
	return fmt.Sprintf("%s-%s-%s", base36(uint64(os.Getpid())), base36(start), world())
})

// world is a digest of what pids are relative to: boot and pid namespace.
var world = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(bootID()))
	return base36(uint64(sum[0])<<24 | uint64(sum[1])<<16 | uint64(sum[2])<<8 | uint64(sum[3]))
})

func base36(n uint64) string { return strconv.FormatUint(n, 36) }

// hostDead says that the host with this identity is certainly gone. What cannot
// be parsed, or belongs to another pid namespace, is nobody's to touch.
func hostDead(id string) bool {
	if id == HostID() {
		return false
	}
	parts := strings.Split(id, "-")
	if len(parts) != 3 || parts[2] != world() {
		return false
	}
	pid, err := strconv.ParseUint(parts[0], 36, 31)
	if err != nil || pid == 0 {
		return false
	}
	start, err := strconv.ParseUint(parts[1], 36, 64)
	if err != nil {
		return false
	}
	now, err := processStart(int(pid))
	if err != nil {
		return os.IsNotExist(err)
	}
	return now != start
}

var instances atomic.Uint64

// newInstance is the value of handshake.EnvInstance for a new plugin process.
func newInstance() string { return HostID() + "-" + base36(instances.Add(1)) }

// hostOf cuts the host's identity out of an instance.
func hostOf(instance string) (string, bool) {
	i := strings.LastIndexByte(instance, '-')
	if i < 0 {
		return "", false
	}
	return instance[:i], true
}

// instanceOf finds the instance in a NUL-separated environment.
func instanceOf(env []byte) (string, bool) {
	const prefix = handshake.EnvInstance + "="
	for v := range strings.SplitSeq(string(env), "\x00") {
		if value, ok := strings.CutPrefix(v, prefix); ok {
			return value, true
		}
	}
	return "", false
}
