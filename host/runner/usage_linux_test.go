package runner

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// never wants no exact measurement.
func never(*Process) int64 { return 0 }

func TestParseStat(t *testing.T) {
	const rest = " 17 17 0 -1 4194304 102 0 0 0 0 0 0 0 20 0 1 0 252059 3133440 3 18446744073709551615"
	for _, tt := range []struct {
		name, stat string
		want       Member
		ended, ok  bool
	}{
		{"sleeping", "42 (cat) S 7" + rest, Member{PID: 42, Parent: 7, Name: "cat", Memory: 3 * pageSize, Started: 252059}, false, true},
		{"ended", "42 (cat) Z 7" + rest, Member{PID: 42, Parent: 7, Name: "cat", Memory: 3 * pageSize, Started: 252059}, true, true},
		{"a name that is no name", "42 (a) R 1 (b) S 7" + rest, Member{PID: 42, Parent: 7, Name: "a) R 1 (b", Memory: 3 * pageSize, Started: 252059}, false, true},
		{"cut", "42 (cat) S 7 1", Member{}, false, false},
		{"no name", "42", Member{}, false, false},
		{"no number", "42 (cat) S x" + rest, Member{}, false, false},
		{"empty", "", Member{}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseStat(42, []byte(tt.stat))
			if ok != tt.ok || ok && (got.Member != tt.want || got.ended != tt.ended) {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}

// TestMeasure shows which processes count as a plugin's, wherever they have gone.
func TestMeasure(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         []string
	}{
		{"alone", "exec sleep 600", []string{"sleep"}},
		{"a child", "sleep 600; true", []string{"sh", "sleep"}},
		{"a child in a session of its own", "setsid sleep 600; true", []string{"sh", "sleep"}},
		{"a child without our mark", "env -i sleep 600; true", []string{"sh", "sleep"}},
		{"one without a parent", "(setsid sleep 600 &) ; exec cat", []string{"cat", "sleep"}},
		{"one that has ended", "sleep 0 & exec cat", []string{"cat"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, other := shell(t, hello+tt.script), shell(t, hello+"exec sleep 600")
			start(t, p)
			start(t, other)
			m := NewMeter()
			var got []string
			eventually(t, func() bool {
				usage, err := m.Measure([]*Process{p, other}, never)
				if err != nil {
					t.Fatal(err)
				}
				u := usage[p]
				got = got[:0]
				var sum int64
				for _, member := range u.Members {
					got = append(got, member.Name)
					sum += member.Memory
					if member.Plugin != (member.PID == p.PID()) {
						t.Errorf("plugin: %+v", member)
					}
				}
				if u.Processes != len(u.Members) || u.Memory != sum {
					t.Errorf("usage: %+v", u)
				}
				slices.Sort(got)
				return sum > 0 && slices.Equal(got, tt.want) && len(usage[other].Members) == 1
			}, func() string { return strings.Join(got, " ") })
		})
	}
}

// TestMeasureRemembers shows that a process that clears its environment and then
// loses its parent is still known.
func TestMeasureRemembers(t *testing.T) {
	p := shell(t, hello+"(env -i sleep 600 & wait) & exec cat")
	start(t, p)
	m := NewMeter()
	var sleeper Member
	find := func() bool {
		usage, err := m.Measure([]*Process{p}, never)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(usage[p].Members, func(m Member) bool { return m.Name == "sleep" })
		if i >= 0 {
			sleeper = usage[p].Members[i]
		}
		return i >= 0
	}
	eventually(t, find, func() string { return "no sleep" })
	shellBetween := Member{PID: sleeper.Parent}
	var err error
	if shellBetween.Started, err = processStart(sleeper.Parent); err != nil {
		t.Fatal(err)
	}
	if err := shellBetween.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return find() && sleeper.Parent != shellBetween.PID }, func() string { return "the orphan is lost" })
	if err := sleeper.Kill(); err != nil { // nothing else finds it
		t.Fatal(err)
	}
}

// TestExact shows that pages that processes share are counted once when it matters.
func TestExact(t *testing.T) {
	p := shell(t, hello+"for i in 1 2 3 4 5 6 7 8; do sleep 600 & done; wait")
	start(t, p)
	m := NewMeter()
	measure := func(near int64) Usage {
		usage, err := m.Measure([]*Process{p}, func(*Process) int64 { return near })
		if err != nil {
			t.Fatal(err)
		}
		return usage[p]
	}
	var rough, exact, far int64
	eventually(t, func() bool { // they are as large as they get
		n := 0
		for _, m := range measure(0).Members {
			if m.Name == "sleep" {
				n++
			}
		}
		rough, exact, far = measure(0).Memory, measure(1).Memory, measure(1<<50).Memory
		return n == 8 && exact > 0 && exact < rough/2 && far == rough
	}, func() string {
		return fmt.Sprintf("resident %d, proportional %d, far from the limit %d", rough, exact, far)
	})
}

// TestKillMember shows that a pid that belongs to another process now is spared.
func TestKillMember(t *testing.T) {
	p := shell(t, hello+"exec sleep 600")
	start(t, p)
	usage, err := NewMeter().Measure([]*Process{p}, never)
	if err != nil || len(usage[p].Members) != 1 {
		t.Fatalf("%+v, %v", usage, err)
	}
	m := usage[p].Members[0]
	earlier := m
	earlier.Started--
	if err := earlier.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
		t.Fatal("another process was ended")
	case <-time.After(50 * time.Millisecond):
	}
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := m.Kill(); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// TestRestrain shows what a plugin inherits: no core dumps, and a place before the
// host when memory runs out.
func TestRestrain(t *testing.T) {
	p := shell(t, hello+"cat; sleep 600; true") // as a plugin starts its CLI: when told to
	start(t, p)
	p.CloseStdin()
	meter := NewMeter()
	var members []Member
	eventually(t, func() bool {
		usage, err := meter.Measure([]*Process{p}, never)
		if err != nil {
			t.Fatal(err)
		}
		members = usage[p].Members
		return slices.ContainsFunc(members, func(m Member) bool { return m.Name == "sleep" })
	}, func() string { return "no sleep" })
	for _, m := range members {
		dir := "/proc/" + strconv.Itoa(m.PID)
		limits, err := os.ReadFile(dir + "/limits")
		if err != nil {
			t.Fatal(err)
		}
		i := strings.Index(string(limits), "Max core file size")
		if got := strings.Fields(string(limits)[i:])[4:6]; !slices.Equal(got, []string{"0", "0"}) {
			t.Errorf("%s: core limits %v", m.Name, got)
		}
		if score, err := os.ReadFile(dir + "/oom_score_adj"); err != nil || strings.TrimSpace(string(score)) != oomScore {
			t.Errorf("%s: score %q, %v", m.Name, score, err)
		}
	}
}

func TestMachineMemory(t *testing.T) {
	if n := MachineMemory(); n < 64<<20 {
		t.Errorf("this machine has %d bytes of memory", n)
	}
}

// eventually waits for something that other processes do.
func eventually(t testing.TB, ok func() bool, state func() string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came true: %s", state())
		}
	}
}
