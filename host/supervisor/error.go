package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/runner"
	"github.com/clinvk/clinvk/proto/handshake"
)

// The steps of a start, as they appear in error texts.
const (
	stageCheck     = "checking the files"
	stageLaunch    = "starting the process"
	stageDescribe  = "Describe"
	stageConfigure = "Configure"
	stageHealth    = "Health"
)

// startError says why a plugin did not get ready, or did not stay so.
type startError struct {
	stage     string
	err       error
	remedy    string
	permanent bool  // trying again cannot help before something changes
	exit      *Exit // set when the process ended by itself
	distrust  *catalog.TrustError
}

func (e *startError) Error() string {
	if e.stage == "" {
		return e.err.Error()
	}
	return e.stage + ": " + e.err.Error()
}

func (e *startError) Unwrap() error { return e.err }

// refused is for files that must not be run.
func refused(err error) *startError {
	e := &startError{stage: stageCheck, permanent: true, err: err}
	if p, ok := errors.AsType[*catalog.PermissionError](err); ok {
		e.remedy = "run: " + p.Remedy
		e.err = fmt.Errorf("%s %s", p.Path, p.Problem)
	}
	if t, ok := errors.AsType[*catalog.TrustError](err); ok {
		e.remedy, e.distrust = "run: "+t.Remedy, t
		e.err = fmt.Errorf("%s %s", t.Path, t.Problem)
	}
	return e
}

// failedStart is for a process without a good handshake.
func failedStart(err error) *startError {
	e := &startError{stage: stageLaunch, err: err}
	var s *runner.StartError
	if errors.As(err, &s) {
		e.err, e.remedy, e.permanent, e.exit = s, s.Remedy, s.Permanent, s.Exit
	}
	return e
}

// deathTime is how long a failed call waits for the end of the process: when the
// connection broke, how the process ended says why.
const deathTime = 2 * time.Second

// failedCall is for a process that did not answer as it must.
func failedCall(ctx context.Context, i *instance, stage string, limit time.Duration, err error) *startError {
	e := &startError{stage: stage, err: errors.New(told(err))}
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		e.err = fmt.Errorf("no answer within %v", limit)
	case codes.Unimplemented:
		e.permanent = true
		e.err = errors.New("the plugin does not implement it")
		e.remedy = "implement everything that the contract requires"
	case codes.Unavailable:
		if i.ends(ctx) {
			exit := i.process.Exit()
			e.exit, e.err = &exit, fmt.Errorf("the process ended (%s)%s", exit, lastWords(exit))
		} else if strings.Contains(e.err.Error(), "does not look like a TLS handshake") {
			e.permanent = true
			e.err = errors.New("the plugin does not speak AutoMTLS")
			e.remedy = fmt.Sprintf(`set "transport": "plain" in %s%s.json`, handshake.NamePrefix, i.name)
		}
	default: // the plugin's own words say it best
	}
	return e
}

// toldMost bounds, in bytes, what a plugin's own words add to an error.
const toldMost = 2 << 10

// told is what a failed call says.
func told(err error) string {
	text := status.Convert(err).Message()
	if len(text) > toldMost {
		return strings.ToValidUTF8(text[:toldMost], "") + "…"
	}
	return text
}

// crashed is for a process that ended while it served.
func crashed(i *instance) *startError {
	exit := i.process.Exit()
	return &startError{exit: &exit, err: fmt.Errorf("the plugin process ended unexpectedly (%s)%s", exit, lastWords(exit))}
}

func lastWords(exit Exit) string {
	if last := exit.LastLine(); last != "" {
		return "; its last words: " + last
	}
	return ""
}

// ends says whether the process ends by itself, soon.
func (i *instance) ends(ctx context.Context) bool {
	timer := time.NewTimer(deathTime)
	defer timer.Stop()
	select {
	case <-i.process.Done():
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
