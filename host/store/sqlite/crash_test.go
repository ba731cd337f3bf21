package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/store"
)

// writerVariable names the file that a process of this test writes to, and
// writerName what it calls its session.
const (
	writerVariable = "CLINVK_TEST_WRITER"
	writerName     = "CLINVK_TEST_WRITER_NAME"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(writerVariable); path != "" { // a process that a test has started
		fmt.Fprintln(os.Stderr, write(context.Background(), path, os.Getenv(writerName)))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// write writes until it is killed, holding its session, and says on stdout what it
// has written.
func write(ctx context.Context, path, name string) error {
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		return err
	}
	fmt.Println("open")
	body := []byte(`"` + strings.Repeat("x", 10_000) + `"`)
	turn := store.Append{Text: "turn " + name, Turn: store.SessionTurn{Assistant: body, Usage: store.Usage{Input: 1}}}
	if err := s.CreateSession(ctx, &store.Session{ID: name}, &turn); err != nil {
		return err
	}
	fmt.Println(1)
	if _, err := s.Lease(ctx, "", name); err != nil {
		return err
	}
	for i := 2; ; i++ {
		r := record(i)
		r.ID, r.Output = fmt.Sprintf("%s-%d", name, i), body
		if err := s.SaveResponse(ctx, r); err != nil {
			return err
		}
		if _, err := s.AppendTurn(ctx, "", name, turn); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// writer starts a process that writes; lines are what it says.
func writer(t *testing.T, path, name string) (process *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	process = exec.Command(os.Args[0])
	process.Env = append(os.Environ(), writerVariable+"="+path, writerName+"="+name)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	return process, bufio.NewScanner(out)
}

// TestKilled kills processes that write, at any moment from their start on, finds all
// that they had said they have written, and goes on with their sessions at once.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clinvk.db")
	rounds := 20
	if os.Getenv("CLINVK_CHAOS") != "" {
		rounds = 200
	}
	var slowest time.Duration
	for round := range rounds {
		name := fmt.Sprint("w", round)
		process, lines := writer(t, path, name)
		if round%4 != 0 { // else in the middle of opening
			lines.Scan()
		}
		kill := time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, func() { _ = process.Process.Kill() })
		last := 0
		for lines.Scan() {
			if n := 0; lines.Text() != "open" {
				if _, err := fmt.Sscan(lines.Text(), &n); err == nil {
					last = n
				}
			}
		}
		_ = process.Wait()
		kill.Stop()
		began := time.Now()
		s, err := Open(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
		checkWritten(t, s, name, last)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("after a kill the store was open in %v at most", slowest)
}

func checkWritten(t *testing.T, s *Store, name string, last int) {
	t.Helper()
	if last > 0 {
		got, err := s.Session(t.Context(), "", name)
		if err != nil || got.Turns < last || got.Usage.Input != int64(got.Turns) {
			t.Errorf("%d turns were written, the session is %+v, %v", last, got, err)
		}
		if turns, err := s.Turns(t.Context(), "", name); err != nil || len(turns) != got.Turns {
			t.Errorf("%d of %d turns are there, %v", len(turns), got.Turns, err)
		}
		release, err := s.Lease(t.Context(), "", name)
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	if last > 1 {
		if _, err := s.Response(t.Context(), "", fmt.Sprintf("%s-%d", name, last)); err != nil {
			t.Error(err)
		}
	}
	checkIntegrity(t, s)
}

func checkIntegrity(t *testing.T, s *Store) {
	t.Helper()
	var word string
	if err := s.write.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&word); err != nil || word != "ok" {
		t.Fatalf("the file is %s, %v", word, err)
	}
	if _, err := s.write.ExecContext(t.Context(), "INSERT INTO session_words (session_words) VALUES ('integrity-check')"); err != nil {
		t.Fatalf("the index of words: %v", err)
	}
	var counted, summed, there int
	err := s.write.QueryRowContext(t.Context(), `SELECT (SELECT coalesce(sum(n), 0) FROM session_counts WHERE tag = ''),
		(SELECT sessions FROM session_sums), (SELECT count(*) FROM sessions)`).Scan(&counted, &summed, &there)
	if err != nil || counted != there || summed != there {
		t.Fatalf("%d and %d of %d sessions are counted, %v", counted, summed, there, err)
	}
}

// TestLeaseOfProcess: what a living process has leased is taken, what it has left is
// not.
func TestLeaseOfProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clinvk.db")
	process, lines := writer(t, path, "w")
	for _, want := range []string{"open", "1", "2"} { // it has its lease before the second turn
		if !lines.Scan() || lines.Text() != want {
			t.Errorf("the process says %q, not %s", lines.Text(), want)
		}
	}
	s := opened(t, Config{Path: path})
	if err := s.CreateSession(t.Context(), &store.Session{ID: "own"}, nil); err != nil {
		t.Fatal(err)
	}
	_, leased := s.Lease(t.Context(), "", "w")
	_, appended := s.AppendTurn(t.Context(), "", "w", store.Append{})
	_, deleted := s.DeleteSession(t.Context(), "", "w")
	for what, err := range map[string]error{"lease": leased, "turn": appended, "delete": deleted} {
		if !errors.Is(err, store.ErrBusy) {
			t.Errorf("%s: %v", what, err)
		}
	}
	gone, err := s.CleanSessions(t.Context(), "", store.Cleaning{})
	if err != nil || len(gone) != 1 || gone[0].ID != "own" {
		t.Errorf("cleaning removes %v, %v", gone, err)
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	if _, err := s.Lease(t.Context(), "", "w"); err != nil {
		t.Errorf("what a killed process has left: %v", err)
	}
	if files, err := os.ReadDir(s.holder.dir); err != nil || len(files) != 1 {
		t.Errorf("its file is left among %v, %v", files, err)
	}
}

// TestMigratingAtOnce opens a new file in several processes.
func TestMigratingAtOnce(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "clinvk.db")
		var processes []*exec.Cmd
		var said []*bufio.Scanner
		for i := range 3 {
			process, lines := writer(t, path, fmt.Sprint("w", i))
			processes, said = append(processes, process), append(said, lines)
		}
		for i, lines := range said {
			for _, want := range []string{"open", "1"} {
				if !lines.Scan() || lines.Text() != want {
					t.Errorf("process %d says %q, not %s", i, lines.Text(), want)
				}
			}
		}
		for _, process := range processes {
			_ = process.Process.Kill()
			_ = process.Wait()
		}
		checkIntegrity(t, opened(t, Config{Path: path}))
	}
}
