package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/clinvk/clinvk/host/chaos/hostile"
	"github.com/clinvk/clinvk/host/runner"
)

// Config of a run.
type Config struct {
	// Backend whose plugin is killed and stopped; it must answer with the text of
	// the prompt, as echo does. Empty: echo. When it has a model "slow" that answers
	// over about two seconds, some clients use that.
	Backend string
	// PluginDirs, InsecurePluginDirs and Executable say where its plugin is, as
	// host.Config does.
	PluginDirs         []string
	InsecurePluginDirs bool
	Executable         string
	// Hostile is the command that becomes a hostile plugin when a hostile.Mode is
	// added to it.
	Hostile []string
	// Duration of the load; 0: 10 s. What is under way then is finished.
	Duration time.Duration
	// Clients that ask at the same time; 0: 8.
	Clients int
	// KillEvery is the mean time between two faults; 0: 300 ms.
	KillEvery time.Duration
	// Seed of what is random.
	Seed uint64
	// Dir is where the private directory of the run is made; its path must be short,
	// because sockets are below. Empty: /tmp, where there is one.
	Dir string
	// Version of clinvk, for the report.
	Version string
	// Logger of the server; nil: nowhere.
	Logger *slog.Logger

	// growth that the memory of the server may have; 0: growthLimit. The race detector
	// needs several times the memory.
	growth int64
}

func (c Config) withDefaults() Config {
	c.Backend = cmp.Or(c.Backend, "echo")
	c.Duration = cmp.Or(c.Duration, 10*time.Second)
	c.Clients = cmp.Or(c.Clients, 8)
	c.growth = cmp.Or(c.growth, growthLimit)
	c.KillEvery = cmp.Or(c.KillEvery, 300*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Run does it all and reports, with servers of its own in this process: whatever
// else runs on the machine is not touched. A guarantee that did not hold is in the
// report; an error means that there is none, because something is missing or ctx
// ended. Nothing is left behind in any case.
func Run(ctx context.Context, c Config) (r *Report, err error) {
	if stopSignal == nil {
		return nil, errors.New("chaos needs the signals of a Unix")
	}
	c = c.withDefaults()
	root, err := makeRoot(c.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	began := time.Now()
	r = &Report{
		Versions: Versions{Clinvk: c.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH},
		Backend:  c.Backend, Seed: c.Seed, Clients: c.Clients, KillEvery: millis(c.KillEvery), Duration: millis(c.Duration),
	}
	run := &run{config: c, root: root, report: r, random: rand.New(rand.NewPCG(c.Seed, 0))} //nolint:gosec // it must be repeatable
	err = run.storm(ctx)
	if err == nil {
		err = run.quarantine(ctx)
	}
	r.Leftovers.Processes = runner.SweepOwn() // in any case
	if ctx.Err() != nil {
		return nil, fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	if r.Leftovers.Files, err = filesBelow(run.runtimeDir()); err != nil {
		return nil, err
	}
	r.Took = millis(time.Since(began))
	r.judge(c.growth)
	return r, nil
}

// run is one run in the making.
type run struct {
	config Config
	root   string
	report *Report
	random *rand.Rand
	probes turns // questions that nobody answered after a fault
}

// makeRoot makes the private directory for everything.
func makeRoot(base string) (string, error) {
	if _, err := os.Stat("/tmp"); base == "" && err == nil {
		base = "/tmp" // TMPDIR is too long for sockets on macOS
	}
	root, err := os.MkdirTemp(base, "ckchaos")
	if err != nil {
		return "", fmt.Errorf("making a directory for the run: %w", err)
	}
	return root, nil
}

func (r *run) runtimeDir() string { return filepath.Join(r.root, "run") }

// filesBelow lists what is in a directory; nothing when it does not exist.
func filesBelow(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("looking for leftovers: %w", err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// hostileShare is the share of Config.Duration without faults of the backend: a
// third.
const hostileShare = 3

// storm is the first server: load with hostile neighbours, then with kills as well.
func (r *run) storm(ctx context.Context) error {
	w, err := r.open(ctx, stormTimings, hostile.Modes()...)
	if err != nil {
		return err
	}
	defer func() { _ = w.close() }() // the error of the first call counts
	r.report.Versions.Backend = w.version(r.config.Backend)
	if err := w.warm(ctx, r.config.Backend); err != nil {
		return err
	}
	began := time.Now()
	if err := w.host.Restart(ctx, r.config.Backend); err != nil {
		return err
	}
	r.report.Start = millis(time.Since(began))
	r.report.Server.RSSBefore = settledRSS()
	watch := w.watch(ctx)
	err = r.hostileNeighbours(ctx, w)
	if err == nil {
		err = r.kills(ctx, w)
	}
	health, peak := watch()
	if err != nil {
		return err
	}
	r.report.Server.Health, r.report.Server.RSSPeak = timesOf(health), peak
	r.report.Server.RSSAfter = settledRSS()
	return w.close()
}

// warmTurns are those before the first measurement of memory.
const warmTurns = 50

// warm asks everybody, so that buffers have the size that they need.
func (w *world) warm(ctx context.Context, backend string) error {
	for i := range warmTurns {
		if o := w.ask(ctx, question{model: backend, stream: i%2 == 0}); o.kind != answered {
			return cmp.Or(ctx.Err(), fmt.Errorf("backend %s does not even answer in peace: %s", backend, o.text))
		}
	}
	for range hostile.Garbled {
		for _, mode := range []hostile.Mode{hostile.Good, hostile.Flood, hostile.Garble} {
			w.ask(ctx, question{model: mode.Name(), stream: true}) // how it ends counts later
		}
	}
	return ctx.Err()
}

// settledRSS is the memory of this process without what the collector could free.
func settledRSS() int64 {
	debug.FreeOSMemory()
	return rss()
}

// Patience of a run with a machine that has other things to do.
const (
	patience = time.Minute
	// leastTurns are those that every group of clients has before a part ends.
	leastTurns = 2 * hostile.Garbled
)

// hostileNeighbours loads the backend while its neighbours break the rules.
func (r *run) hostileNeighbours(ctx context.Context, w *world) error {
	ending := time.Now().Add(r.config.Duration / hostileShare)
	loading, cancel := context.WithTimeout(ctx, r.config.Duration/hostileShare+patience)
	defer cancel()
	backend := w.load(loading, r.config.Clients, w.questions(r.config.Backend)...)
	groups := map[string]*group{}
	for _, mode := range []hostile.Mode{hostile.Good, hostile.Flood, hostile.Garble} {
		groups[mode.Name()] = w.load(loading, 2, question{model: mode.Name(), stream: true}, question{model: mode.Name()})
	}
	_ = until(loading, func() bool { // what is missing then shows in the report
		enough := time.Now().After(ending) && backend.count() >= leastTurns
		for _, g := range groups {
			enough = enough && g.count() >= leastTurns
		}
		return enough
	})
	cancel()
	h := &r.report.Hostile
	h.Backend = backend.wait().blame(nil)
	for _, mode := range hostile.Modes() {
		info, err := w.host.Engine().Backend(mode.Name())
		if err != nil {
			return err
		}
		n := Neighbour{Name: info.Name, State: info.State, LastError: info.LastError}
		if g := groups[info.Name]; g != nil {
			n.Turns = g.wait().blame(nil)
		}
		h.Neighbours = append(h.Neighbours, n)
	}
	return ctx.Err()
}

// questions are what clients ask a backend.
func (w *world) questions(backend string) []question {
	q := []question{{model: backend, stream: true}, {model: backend + "/" + slowModel, stream: true}, {model: backend}, {model: backend, stream: true}}
	if !w.hasModel(backend, slowModel) {
		q[1] = q[0]
	}
	return q
}

// slowModel has turns that are long enough to be in flight at any fault.
const slowModel = "slow"

// kills loads the backend and a neighbour while the backend's plugin is killed and
// stopped.
func (r *run) kills(ctx context.Context, w *world) error {
	loading, cancel := context.WithCancel(ctx)
	defer cancel()
	backend := w.load(loading, r.config.Clients, w.questions(r.config.Backend)...)
	neighbour := w.load(loading, 4, w.questions(hostile.Good.Name())...)
	hits, err := r.strike(ctx, w, time.Now().Add(r.config.Duration-r.config.Duration/hostileShare))
	cancel()
	own, others := backend.wait(), neighbour.wait()
	if err != nil {
		return err
	}
	k := &r.report.Kills
	for _, o := range r.probes.others {
		own.add(o)
	}
	k.Backend, k.Neighbour = own.blame(hits), others.blame(nil)
	k.Errors = timesOf(own.errorsAfter(hits))
	var again, replaced []time.Duration
	for _, h := range hits {
		list := &again
		if h.stopped {
			k.Stops++
			list = &replaced
		} else {
			k.Kills++
		}
		if !h.serving.IsZero() {
			*list = append(*list, h.serving.Sub(h.at))
		}
	}
	k.ServesAgain, k.Replaced = timesOf(again), timesOf(replaced)
	return nil
}
