package chaos

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/chaos/hostile"
)

// Report is what a run showed. Durations are milliseconds, sizes are bytes.
type Report struct {
	// OK says that every guarantee held.
	OK         bool        `json:"ok"`
	Guarantees []Guarantee `json:"guarantees"`
	Versions   Versions    `json:"versions"`
	Backend    string      `json:"backend"`
	Seed       uint64      `json:"seed"`
	Clients    int         `json:"clients"`
	Duration   Millis      `json:"duration_ms"`
	KillEvery  Millis      `json:"kill_every_ms"`
	// Start is how long a start of the plugin took, in peace.
	Start Millis `json:"start_ms"`
	// Took is how long it all took.
	Took       Millis     `json:"took_ms"`
	Hostile    Hostile    `json:"hostile_neighbours"`
	Kills      Kills      `json:"kills"`
	Quarantine Quarantine `json:"quarantine"`
	Server     Server     `json:"server"`
	Leftovers  Leftovers  `json:"leftovers"`
}

// Millis is a time in milliseconds.
type Millis float64

func millis(d time.Duration) Millis { return Millis(math.Round(d.Seconds()*1e5) / 100) }

// Versions of what ran.
type Versions struct {
	Clinvk   string `json:"clinvk"`
	Backend  string `json:"backend"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Turns of one group of clients.
type Turns struct {
	Requests int `json:"requests"`
	Answered int `json:"answered"`
	// InFlight failed with a typed error while their own plugin was killed or stopped.
	InFlight int `json:"failed_in_flight"`
	// Failed had a typed error without a fault of their own plugin.
	Failed int `json:"failed_others"`
	// Broken had an error in no form, or no end.
	Broken int `json:"broken"`
	// Wrong were answered with something else.
	Wrong int `json:"wrong"`
	// Samples of what Failed, Broken and Wrong were told.
	Samples []string `json:"samples,omitempty"`
}

// flawless says that nothing failed that should not.
func (t Turns) flawless() bool { return t.Requests > 0 && t.Failed+t.Broken+t.Wrong == 0 }

// Hostile is the part without faults of the backend.
type Hostile struct {
	Backend    Turns       `json:"backend"`
	Neighbours []Neighbour `json:"neighbours"`
}

// Neighbour is a plugin of clinvk chaos itself.
type Neighbour struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Turns Turns  `json:"turns"`
	// LastError that the server saw of it.
	LastError string `json:"last_error,omitempty"`
}

// Kills is the part with them.
type Kills struct {
	Kills     int   `json:"kills"`
	Stops     int   `json:"stops"`
	Backend   Turns `json:"backend"`
	Neighbour Turns `json:"neighbour"`
	// Errors is the time from a SIGKILL to the error of a turn in flight.
	Errors Times `json:"kill_to_error"`
	// ServesAgain is the time from a SIGKILL to the next answer.
	ServesAgain Times `json:"kill_to_answer"`
	// Replaced is the time from a SIGSTOP to the next answer.
	Replaced Times `json:"stop_to_answer"`
}

// Quarantine is the part with too many crashes.
type Quarantine struct {
	Crashes int `json:"crashes"`
	// State after them.
	State string `json:"state"`
	// Refused says that the next turn had a typed error, Error.
	Refused bool   `json:"refused"`
	Error   string `json:"error"`
	// Cleared says that the backend was answering after a restart by hand.
	Cleared bool `json:"cleared"`
}

// Server is the process with the server, its clients included.
type Server struct {
	// Health is how long /health took.
	Health Times `json:"health"`
	// RSS is 0 where it is not known.
	RSSBefore int64 `json:"rss_before_bytes"`
	RSSPeak   int64 `json:"rss_peak_bytes"`
	RSSAfter  int64 `json:"rss_after_bytes"`
}

// Leftovers are what was left when the servers had ended.
type Leftovers struct {
	Processes int `json:"processes"`
	// Files are sockets and directories.
	Files []string `json:"files"`
}

// Times is a distribution.
type Times struct {
	Count  int    `json:"count"`
	Median Millis `json:"median_ms"`
	P99    Millis `json:"p99_ms"`
	Max    Millis `json:"max_ms"`
}

func timesOf(took []time.Duration) Times {
	if len(took) == 0 {
		return Times{}
	}
	took = slices.Sorted(slices.Values(took))
	at := func(share float64) Millis { return millis(took[int(share*float64(len(took)-1))]) }
	return Times{Count: len(took), Median: at(0.5), P99: at(0.99), Max: at(1)}
}

// Guarantee is one of those that a run puts to the test.
type Guarantee struct {
	Name string `json:"name"`
	Held bool   `json:"held"`
	// Detail is what was seen.
	Detail string `json:"detail"`
}

// Limits. Each is for a machine that has nothing else to do, or a number of starts
// of the plugin as the run itself measured it, whichever is more: a busy machine is
// not the plugins' fault.
const (
	errorLimit   = Millis(100)  // half of a kill's victims have their error by then, or after 1 start
	serveLimit   = Millis(500)  // half of the kills are over by then, or after 4
	replaceLimit = Millis(5000) // three health checks of a second, or 4 starts more
	healthLimit  = Millis(50)   // half of the answers, or after 1
	healthMost   = Millis(1000) // every answer, or after 4
	growthLimit  = 32 << 20
)

// judge fills Guarantees and OK; growth is what the server's memory may have grown.
func (r *Report) judge(growth int64) {
	k, s, q := r.Kills, r.Server, r.Quarantine
	errorLimit, serveLimit, replaceLimit := max(errorLimit, r.Start), max(serveLimit, 4*r.Start), replaceLimit+4*r.Start
	healthLimit, healthMost := max(healthLimit, r.Start), max(healthMost, 4*r.Start)
	r.hold("faults fail only turns in flight on their own plugin", k.Backend.Failed == 0 && k.Neighbour.flawless(),
		"%d in flight, %d others of the backend, %d of the neighbour", k.Backend.InFlight, k.Backend.Failed, k.Neighbour.Requests-k.Neighbour.Answered)
	r.hold("every failure is a typed error, every answer the right one", k.Backend.Requests > 0 && k.Backend.Broken+k.Backend.Wrong == 0,
		"%d broken, %d wrong of %d", k.Backend.Broken, k.Backend.Wrong, k.Backend.Requests)
	r.hold("errors come soon after a kill", k.Errors.Median <= errorLimit,
		"%d errors, median %v, limit %v", k.Errors.Count, k.Errors.Median, errorLimit)
	r.hold("a killed plugin is replaced soon", k.Kills > 0 && k.ServesAgain.Count == k.Kills && k.ServesAgain.Median <= serveLimit,
		"%d of %d, median %v, limit %v", k.ServesAgain.Count, k.Kills, k.ServesAgain.Median, serveLimit)
	r.hold("a stopped plugin is noticed and replaced", k.Stops > 0 && k.Replaced.Count == k.Stops && k.Replaced.Max <= replaceLimit,
		"%d of %d, at most %v, limit %v", k.Replaced.Count, k.Stops, k.Replaced.Max, replaceLimit)
	held, detail := r.Hostile.judge()
	r.hold("hostile plugins disturb nobody", held, "%s", detail)
	r.hold("five crashes lead to quarantine, a restart ends it", q.State == "quarantined" && q.Refused && q.Cleared,
		"%s after %d crashes; refused %v, cleared %v", q.State, q.Crashes, q.Refused, q.Cleared)
	r.hold("the server always answers /health", s.Health.Count > 0 && s.Health.Median <= healthLimit && s.Health.Max <= healthMost,
		"median %v, at most %v, limits %v and %v", s.Health.Median, s.Health.Max, healthLimit, healthMost)
	r.hold("the server's memory does not grow", s.RSSAfter-s.RSSBefore < growth,
		"by %d KiB, limit %d KiB", (s.RSSAfter-s.RSSBefore)>>10, growth>>10)
	r.hold("nothing is left", r.Leftovers.Processes == 0 && len(r.Leftovers.Files) == 0,
		"%d processes, %d sockets and directories", r.Leftovers.Processes, len(r.Leftovers.Files))
}

func (r *Report) hold(name string, held bool, format string, args ...any) {
	r.OK = held && (r.OK || len(r.Guarantees) == 0)
	r.Guarantees = append(r.Guarantees, Guarantee{Name: name, Held: held, Detail: fmt.Sprintf(format, args...)})
}

// judge says whether the backend and the good neighbour were undisturbed, and
// whether the hostile ones really were hostile.
func (h Hostile) judge() (held bool, detail string) {
	held = h.Backend.flawless()
	texts := []string{fmt.Sprintf("%d of %d turns of the backend failed", h.Backend.Requests-h.Backend.Answered, h.Backend.Requests)}
	for _, n := range h.Neighbours {
		t := n.Turns
		switch n.Name {
		case hostile.Good.Name(), hostile.Flood.Name():
			held = held && t.flawless()
		case hostile.Garble.Name():
			held = held && t.Requests > 0 && t.Failed == t.Requests
			texts = append(texts, fmt.Sprintf("%d of %d garbled ones had a typed error", t.Failed, t.Requests))
		default: // those that never serve
			held = held && n.LastError != ""
		}
	}
	return held, strings.Join(texts, ", ")
}

// Broken lists the guarantees that did not hold.
func (r *Report) Broken() []string {
	var names []string
	for _, g := range r.Guarantees {
		if !g.Held {
			names = append(names, fmt.Sprintf("%s (%s)", g.Name, g.Detail))
		}
	}
	return names
}
