package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// children are the processes that run a Gemini CLI below dir.
func children(t *testing.T, dir string) []int {
	t.Helper()
	var pids []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && strings.Contains(string(env), "GEMINI_CLI_HOME="+dir) {
			if pid, err := strconv.Atoi(e.Name()); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func TestKilled(t *testing.T) {
	s := newSystem(t, withConfig("max_processes", 1), withWarm(1))
	s.stillWorks(t)
	t.Run("while text comes", func(t *testing.T) {
		var at time.Time
		r := s.begun(t, context.Background(), chat(user("[[tokens=500 gap=20ms]]")), func(backendv1.BackendService_ExecuteClient) {
			at = time.Now()
			for _, pid := range children(t, s.scratch) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
		if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE || !strings.Contains(r.Failed.GetMessage(), "killed") || r.Failed.GetExitCode() != -1 {
			t.Errorf("failed = %v, %v", r.Failed, r.Err)
		}
		if took := time.Since(at); took > 10*time.Second { // it is told, not found by a deadline
			t.Errorf("the failure took %v", took)
		}
		s.stillWorks(t)
	})
	t.Run("while idle", func(t *testing.T) {
		for _, pid := range children(t, s.scratch) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		s.stillWorks(t)
	})
	if n := len(children(t, s.scratch)); n != 1 {
		t.Errorf("%d processes, want 1", n)
	}
	if err := s.backend.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if n := len(children(t, s.scratch)); n != 0 {
		t.Errorf("%d processes after close", n)
	}
}
