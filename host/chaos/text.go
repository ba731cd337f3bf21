package chaos

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	v := r.Versions
	fmt.Fprintf(&b, "clinvk chaos: clinvk %s, backend %s %s, %s, %s\n", v.Clinvk, r.Backend, v.Backend, v.Go, v.Platform)
	fmt.Fprintf(&b, "%d clients, a fault every %s or so, seed %d, took %s; a start of the plugin takes %s\n", r.Clients, r.KillEvery, r.Seed, r.Took, r.Start)
	r.writeHostile(&b)
	r.writeKills(&b)
	q := r.Quarantine
	fmt.Fprintf(&b, "\nQuarantine\n  %d crashes: %s; then: %s\n", q.Crashes, q.State, q.Error)
	if q.Cleared {
		b.WriteString("  a restart by hand: answers again\n")
	}
	s := r.Server
	fmt.Fprintf(&b, "\nServer, with its clients\n  /health asked %d times: median %s, p99 %s, most %s\n", s.Health.Count, s.Health.Median, s.Health.P99, s.Health.Max)
	if s.RSSBefore > 0 {
		fmt.Fprintf(&b, "  memory before %d MiB, at most %d MiB, after %d MiB\n", s.RSSBefore>>20, s.RSSPeak>>20, s.RSSAfter>>20)
	}
	fmt.Fprintf(&b, "  left behind: %d processes, %d sockets and directories\n\n", r.Leftovers.Processes, len(r.Leftovers.Files))
	for _, g := range r.Guarantees {
		word := "held  "
		if !g.Held {
			word = "BROKEN"
		}
		fmt.Fprintf(&b, "%s  %s (%s)\n", word, g.Name, g.Detail)
	}
	for line := range strings.Lines(b.String()) { // the tables have blanks at their ends
		if _, err := io.WriteString(w, strings.TrimRight(line, " \n")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// String is the time in the unit that reads best.
func (m Millis) String() string {
	if m >= 1000 {
		return fmt.Sprintf("%.1f s", float64(m)/1000)
	}
	return fmt.Sprintf("%.4g ms", float64(m))
}

func (r *Report) writeHostile(b *strings.Builder) {
	b.WriteString("\nHostile neighbours, no faults of the backend\n")
	t := newTable(b)
	t.row("", "turns", "answered", "typed errors", "broken", "last error")
	rows := append([]Neighbour{{Name: r.Backend, Turns: r.Hostile.Backend}}, r.Hostile.Neighbours...)
	for _, n := range rows {
		remark := n.LastError
		if len(remark) > 80 {
			remark = remark[:80] + "…"
		}
		t.row(n.Name, n.Turns.Requests, n.Turns.Answered, n.Turns.Failed, n.Turns.Broken+n.Turns.Wrong, remark)
	}
	t.flush()
}

func (r *Report) writeKills(b *strings.Builder) {
	k := r.Kills
	fmt.Fprintf(b, "\nFaults of the backend's plugin: %d SIGKILL, %d SIGSTOP\n", k.Kills, k.Stops)
	t := newTable(b)
	t.row("", "turns", "answered", "failed in flight", "failed otherwise", "broken")
	for _, g := range []struct {
		name  string
		turns Turns
	}{{r.Backend, k.Backend}, {"its neighbour", k.Neighbour}} {
		t.row(g.name, g.turns.Requests, g.turns.Answered, g.turns.InFlight, g.turns.Failed, g.turns.Broken+g.turns.Wrong)
	}
	t.flush()
	t = newTable(b)
	t.row("", "count", "median", "p99", "most")
	for _, g := range []struct {
		name  string
		times Times
	}{{"SIGKILL to typed error", k.Errors}, {"SIGKILL to next answer", k.ServesAgain}, {"SIGSTOP to next answer", k.Replaced}} {
		t.row(g.name, g.times.Count, g.times.Median, g.times.P99, g.times.Max)
	}
	t.flush()
}

// table aligns columns.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

func (t table) row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			_, _ = fmt.Fprint(t.w, "\t")
		} else {
			_, _ = fmt.Fprint(t.w, "  ")
		}
		_, _ = fmt.Fprint(t.w, c)
	}
	_, _ = fmt.Fprintln(t.w)
}

func (t table) flush() { _ = t.w.Flush() } // into memory: it does not fail
