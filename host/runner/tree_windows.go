package runner

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// tree is the process and what it starts, as a job that dies with its handle.
type tree struct{ job windows.Handle }

// start runs cmd in a job of its own. What the process starts before it is in the
// job, within microseconds of its life, is not caught.
func (t *tree) start(cmd *exec.Cmd, w walls) error {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return fmt.Errorf("making a job object: %w", err)
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	// Nobody watches the walls here: what would go beyond them fails.
	if w.memory > 0 {
		limits.BasicLimitInformation.LimitFlags |= windows.JOB_OBJECT_LIMIT_JOB_MEMORY
		limits.JobMemoryLimit = uintptr(w.memory)
	}
	if w.processes > 0 {
		limits.BasicLimitInformation.LimitFlags |= windows.JOB_OBJECT_LIMIT_ACTIVE_PROCESS
		limits.BasicLimitInformation.ActiveProcessLimit = uint32(w.processes) //nolint:gosec // a number of processes
	}
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil { //nolint:gosec // the call wants it so
		_ = windows.CloseHandle(job)
		return fmt.Errorf("setting up a job object: %w", err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
	if err := cmd.Start(); err != nil {
		_ = windows.CloseHandle(job)
		return err
	}
	if err := assign(job, cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = windows.CloseHandle(job)
		return fmt.Errorf("putting the plugin into a job object: %w", err)
	}
	t.job = job
	return nil
}

func assign(job windows.Handle, pid int) error {
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		return err
	}
	defer windows.CloseHandle(process)
	return windows.AssignProcessToJobObject(job, process)
}

// await returns when the process has ended.
func (t *tree) await(cmd *exec.Cmd) { _ = cmd.Wait() }

// kill ends the whole job.
func (t *tree) kill(*exec.Cmd) {
	if t.job != 0 {
		_ = windows.TerminateJobObject(t.job, 1) // an error means that nobody is left
	}
}

func (t *tree) close() { _ = windows.CloseHandle(t.job) }

// executable is the path: an open file cannot be executed here.
func executable(_ *os.File, path string) string { return path }
