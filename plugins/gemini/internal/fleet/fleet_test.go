package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// envAgent makes this test binary an agent that answers initialize and nothing
// else; with the value "fail" it ends at once.
const envAgent = "CLINVK_TEST_AGENT"

func TestMain(m *testing.M) {
	switch os.Getenv(envAgent) {
	case "":
		// One thread lives as long as the program: see plugins/subprocess.
		goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/clinvk/clinvk/plugins/subprocess.init.func1.1"),
			goleak.IgnoreAnyFunction("github.com/clinvk/clinvk/plugins/subprocess.init.OnceValue[...].func1.1"))
		return
	case "fail":
		fmt.Fprintln(os.Stderr, "no such thing")
		os.Exit(3)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"initialize"`) {
			fmt.Println(`{"jsonrpc":"2.0","id":1,"result":{"agentInfo":{"version":"1.2.3"}}}`)
		}
	}
	os.Exit(0)
}

type rig struct {
	*Fleet
	starts atomic.Int32
	fails  atomic.Bool
	errs   chan error
	root   string
}

func newRig(t *testing.T, limit, warm int) *rig {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{errs: make(chan error, 100), root: t.TempDir()}
	r.Fleet = New(Config{
		Warm: warm, Max: limit, Idle: time.Hour,
		Start: func(ctx context.Context, p Profile) (*Worker, error) {
			r.starts.Add(1)
			mode := "serve"
			if r.fails.Load() {
				mode = "fail"
			}
			l := Launch{Command: exe, Root: r.root, Environment: map[string]string{envAgent: mode}, Model: "m"}
			return l.Start(ctx, p)
		},
		OnError: func(err error) { r.errs <- err },
	})
	t.Cleanup(func() {
		r.Close()
		if left, err := os.ReadDir(r.root); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return r
}

var a, b = Profile{Settings: `{"a":1}`}, Profile{Settings: `{"b":1}`}

func (r *rig) acquire(t *testing.T, p Profile) *Worker {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w, err := r.Acquire(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if w.profile != p || w.Version() != "1.2.3" {
		t.Fatalf("worker of profile %v, version %q", w.profile, w.Version())
	}
	return w
}

func TestReuse(t *testing.T) {
	r := newRig(t, 2, 0)
	w := r.acquire(t, a)
	r.Release(w, true)
	if again := r.acquire(t, a); again != w {
		t.Error("another worker, though one was idle")
	}
	other := r.acquire(t, b)
	r.Release(w, false)
	r.Release(other, true)
	if n := r.starts.Load(); n != 2 {
		t.Errorf("%d starts", n)
	}
	select {
	case <-w.Done():
	case <-time.After(10 * time.Second):
		t.Error("the unfit worker goes on")
	}
}

func TestEviction(t *testing.T) {
	r := newRig(t, 1, 0)
	w := r.acquire(t, a)
	got := make(chan *Worker, 1)
	go func() { // waits: the only process is busy with another profile
		other, _ := r.Acquire(context.Background(), b)
		got <- other
	}()
	for {
		r.mu.Lock()
		n := len(r.waiters)
		r.mu.Unlock()
		if n == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	r.Release(w, true)
	other := <-got
	if other == nil || other.profile != b {
		t.Fatalf("worker %v", other)
	}
	<-w.Done()
	r.Release(other, true)
}

func TestWaiterLeaves(t *testing.T) {
	r := newRig(t, 1, 0)
	w := r.acquire(t, a)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("why")
	cancel(why)
	if _, err := r.Acquire(ctx, a); !errors.Is(err, why) {
		t.Errorf("error = %v", err)
	}
	r.Release(w, true)
	if again := r.acquire(t, a); again != w {
		t.Error("the worker got lost")
	}
	r.Release(w, true)
}

func TestSpares(t *testing.T) {
	r := newRig(t, 3, 1)
	r.Warm(a)
	r.await(t, 1)
	w := r.acquire(t, a)
	r.await(t, 1) // refilled
	if err := w.process.Kill(); err.Signal == "" {
		t.Errorf("exit = %v", err)
	}
	r.Release(w, true) // dead: not kept
	r.await(t, 1)
	r.mu.Lock()
	idle := r.idle[0]
	r.mu.Unlock()
	idle.process.Kill()
	<-idle.Done()
	r.await(t, 1) // replaced
	r.Release(r.acquire(t, a), true)
}

// await waits until n workers that live are idle.
func (r *rig) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		r.mu.Lock()
		live := 0
		for _, w := range r.idle {
			if !w.dead() {
				live++
			}
		}
		r.mu.Unlock()
		if live == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("never %d idle workers", n)
}

func TestFailedStart(t *testing.T) {
	r := newRig(t, 2, 1)
	r.fails.Store(true)
	_, err := r.Acquire(context.Background(), a)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Exit.Code != 3 || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("error = %v", err)
	}
	r.Warm(a)
	if err := <-r.errs; !errors.As(err, &exit) {
		t.Errorf("error of the spare = %v", err)
	}
	starts := r.starts.Load()
	r.Warm(a) // not before the backoff is over
	if n := r.starts.Load(); n != starts {
		t.Errorf("%d more starts", n-starts)
	}
	r.fails.Store(false)
	r.Release(r.acquire(t, a), true) // who needs one does not wait for it
}

func TestClose(t *testing.T) {
	r := newRig(t, 1, 0)
	w := r.acquire(t, a)
	waiting := make(chan error, 1)
	go func() {
		_, err := r.Acquire(context.Background(), a)
		waiting <- err
	}()
	closed := make(chan struct{})
	go func() { r.Close(); close(closed) }()
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("error of the waiter = %v", err)
	}
	r.Release(w, true)
	<-closed
	<-w.Done()
	if _, err := r.Acquire(context.Background(), a); !errors.Is(err, ErrClosed) {
		t.Errorf("error after close = %v", err)
	}
}

func TestProject(t *testing.T) {
	h, err := newHome(t.TempDir(), []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	one, err1 := h.project("/some/dir")
	two, err2 := h.project("/other/dir")
	again, err3 := h.project("/some/dir")
	if err := errors.Join(err1, err2, err3); err != nil || one == two || one != again {
		t.Errorf("%q %q %q %v", one, two, again, err)
	}
}

func TestRelieve(t *testing.T) {
	r := newRig(t, 3, 1)
	r.Warm(a)
	busy := r.acquire(t, a)
	r.await(t, 1)
	r.Relieve(true)
	r.await(t, 0)
	r.Release(busy, true)
	r.await(t, 0)
	other := r.acquire(t, b) // turns still get what they need
	r.Release(other, true)
	<-other.Done()
	if starts := r.starts.Load(); starts != 3 {
		t.Errorf("%d processes were started", starts)
	}
	r.Relieve(false)
	r.await(t, 1)
}
