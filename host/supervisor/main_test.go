//go:build linux

package supervisor_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
)

func TestMain(m *testing.M) {
	hosttest.Run()
	if dirs := os.Getenv(hostVariable); dirs != "" {
		beHost(dirs)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/clinvk/clinvk/host/runner.serveForks"))
}

// quick are timings for tests: long enough for a busy machine, short enough to
// see limits at work.
func quick() supervisor.Timings {
	return supervisor.Timings{
		Handshake: 30 * time.Second, Describe: 30 * time.Second, Configure: 30 * time.Second, Health: 30 * time.Second,
		Models: 30 * time.Second, HealthEvery: 10 * time.Second, HealthDeadline: 5 * time.Second, DeepEvery: 10 * time.Second,
		Acquire: 30 * time.Second, Backoff: 20 * time.Millisecond, Drain: 10 * time.Second, Shutdown: time.Second,
	}
}

// often polls often and gives up soon.
func often(c *supervisor.Config) {
	c.Timings.HealthEvery, c.Timings.DeepEvery, c.Timings.ModelsEvery = 20*time.Millisecond, 20*time.Millisecond, 50*time.Millisecond
	c.Timings.HealthDeadline, c.Timings.Health = 300*time.Millisecond, time.Second
}

// run starts a supervisor with one or more plugins and stops it after the test.
func run(t testing.TB, change func(*supervisor.Config), entries ...catalog.Entry) *supervisor.Supervisor {
	t.Helper()
	c := supervisor.Config{
		Entries: entries, StateDir: t.TempDir(), RuntimeDir: hosttest.RuntimeDir(t), HostVersion: "1.0.0", Timings: quick(),
	}
	if os.Getenv("CLINVK_TEST_LOG") != "" {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if change != nil {
		change(&c)
	}
	s, err := supervisor.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// turn runs a turn of a kind (a model name of hosttest) and returns its text.
func turn(ctx context.Context, l *supervisor.Lease, kind, text string) (string, error) {
	stream, err := open(ctx, l, kind, text)
	if err != nil {
		return "", err
	}
	answer := ""
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answer, nil
		}
		if err != nil {
			return answer, err
		}
		answer += e.GetTextDelta().GetText()
	}
}

// open starts a turn and returns once it has begun.
func open(ctx context.Context, l *supervisor.Lease, kind, text string) (backendv1.BackendService_ExecuteClient, error) {
	stream, err := l.Client().Execute(ctx)
	if err != nil {
		return nil, err
	}
	start := &backendv1.Start{Model: kind, Messages: []*backendv1.Message{
		{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{{Content: &backendv1.Part_Text{Text: text}}}},
	}}
	if err := stream.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Start{Start: start}}); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	_, err = stream.Recv()
	return stream, err
}

// acquire takes a lease that is released after the test at the latest.
func acquire(t testing.TB, s *supervisor.Supervisor) *supervisor.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), "fake")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Release)
	return l
}

// status of the plugin "fake".
func status(t testing.TB, s *supervisor.Supervisor) supervisor.Status {
	t.Helper()
	st, ok := s.Status("fake")
	if !ok {
		t.Fatal("no status")
	}
	return st
}

// eventually waits for something that other processes do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	await.Until(t, 10*time.Second, what, ok)
}
