package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/gemini/internal/acp"
	"github.com/clinvk/clinvk/plugins/gemini/internal/fleet"
)

// authRequired is the protocol's code for a missing login.
const authRequired = -32000

// apiError is an error as the API words it; the CLI passes it on as text.
type apiError struct {
	Error struct {
		Message string `json:"message"`
		Details []struct {
			RetryDelay string `json:"retryDelay"`
		} `json:"details"`
	} `json:"error"`
}

// suggestion is how the CLI puts the API's RetryInfo into its message.
var suggestion = regexp.MustCompile(`\s*Suggested retry after ([0-9.]+)s\.?`)

// badKey is what the API says to a wrong key, with the status of a bad request.
var badKey = regexp.MustCompile(`API key not valid|API_KEY_INVALID`)

// upstreamError makes the error of a turn that the CLI reports as failed. Its code
// is the API's HTTP status, except that some failures come as 500; the class of
// the exception in the CLI's own report tells those.
func upstreamError(e *acp.Error, reports []string) *plugins.Error {
	out := &plugins.Error{Message: e.Error(), Err: e}
	var api apiError
	parsed := json.Unmarshal([]byte(e.Message), &api) == nil && api.Error.Message != ""
	if parsed {
		out.Message = api.Error.Message
		for _, d := range api.Error.Details {
			if wait, err := time.ParseDuration(d.RetryDelay); err == nil && wait > 0 {
				out.RetryAfter = wait
			}
		}
	}
	if m := suggestion.FindStringSubmatch(out.Message); m != nil {
		if seconds, err := strconv.ParseFloat(m[1], 64); err == nil && seconds > 0 {
			out.RetryAfter = time.Duration(seconds * float64(time.Second))
		}
		out.Message = suggestion.ReplaceAllString(out.Message, "")
	}
	status := e.Code
	switch class := exception(reports); {
	case e.Code == authRequired:
		out.Code, out.Message = plugins.CodeUnauthenticated, out.Message+"; "+notLoggedIn
		return out
	case class == "ModelNotFoundError":
		status = http.StatusNotFound
	case class == "TerminalQuotaError":
		out.Code, out.UpstreamStatus = plugins.CodeQuotaExhausted, http.StatusTooManyRequests
		return out
	case status == http.StatusInternalServerError && !parsed:
		return connectionError(out)
	case status < 400 || status > 599:
		out.Code = plugins.CodeCLIFailure
		return out
	}
	out.UpstreamStatus = status
	out.Code, out.Retryable = plugins.CodeOfStatus(status, out.Message)
	if status == http.StatusBadRequest && badKey.MatchString(out.Message) {
		out.Code = plugins.CodeUnauthenticated
	}
	return out
}

// connectionError tells the failures that come as 500 without the API's words:
// the connection could not be made, or broke.
func connectionError(out *plugins.Error) *plugins.Error {
	out.Code, out.Retryable = plugins.CodeUpstreamFailure, true
	if strings.Contains(out.Message, "fetch failed") {
		out.Code = plugins.CodeUpstreamUnreachable
		out.Message = "the provider cannot be reached (" + out.Message + "): check the network, the proxy and GOOGLE_GEMINI_BASE_URL"
	} else {
		out.Message = "the connection to the provider broke: " + out.Message
	}
	return out
}

// exception is the class of the error in the CLI's latest report.
func exception(reports []string) string {
	for _, text := range reports {
		var r struct {
			Error struct {
				Stack string `json:"stack"`
			} `json:"error"`
		}
		if json.Unmarshal([]byte(text), &r) == nil {
			class, _, _ := strings.Cut(r.Error.Stack, ":")
			return class
		}
	}
	return ""
}

// cliError is the failure of the CLI itself.
func cliError(err error) *plugins.Error {
	out := &plugins.Error{Code: plugins.CodeCLIFailure, Message: err.Error(), Err: err, Retryable: true}
	var exit *fleet.ExitError
	if errors.As(err, &exit) {
		out.StderrTail = exit.Exit.StderrTail
		code := exit.Exit.Code
		out.ExitCode = &code
	}
	return out
}

// The CLI's own exit statuses.
const exitNoLogin = 41

// startError is why no process could be had.
func startError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	out := cliError(err)
	if errors.Is(err, exec.ErrNotFound) {
		out.Retryable = false
	}
	if out.ExitCode != nil && *out.ExitCode == exitNoLogin {
		out.Code, out.Retryable, out.Message = plugins.CodeUnauthenticated, false, notLoggedIn
	}
	return out
}

// openError is why no session could be opened.
func openError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var rpc *acp.Error
	if errors.As(err, &rpc) {
		return upstreamError(rpc, nil)
	}
	var own *plugins.Error
	if errors.As(err, &own) {
		return own
	}
	return cliError(err)
}
