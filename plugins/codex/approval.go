package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

// Answers to a request for approval. After a denial the turn goes on.
const (
	allow          = "accept"
	allowForThread = "acceptForSession"
	deny           = "decline"
)

// permissionNames are the fields of permissions.
var permissionNames = []string{"approvalPolicy", "sandbox"}

// permissions are how a turn's modes are told to the CLI; absent fields are as
// the user configured the CLI.
func permissions(t *plugins.Turn) object {
	p := object{}
	switch t.Sandbox {
	case plugins.SandboxDefault:
	case plugins.SandboxReadOnly:
		p["sandbox"] = "read-only"
	case plugins.SandboxWorkspace:
		p["sandbox"] = "workspace-write"
	case plugins.SandboxFull:
		p["sandbox"] = "danger-full-access"
	}
	switch t.Approval {
	case plugins.ApprovalDefault:
	case plugins.ApprovalAuto:
		// What the CLI asks for is to leave the sandbox. Saying yes by itself would
		// make an explicit one worth nothing, so then it does not ask.
		p["approvalPolicy"] = "on-request"
		if t.Sandbox == plugins.SandboxReadOnly || t.Sandbox == plugins.SandboxWorkspace {
			p["approvalPolicy"] = "never"
		}
	case plugins.ApprovalNone:
		p["approvalPolicy"] = "never"
	case plugins.ApprovalAlways:
		p["approvalPolicy"] = "untrusted"
	}
	return p
}

// decision answers one request.
type decision struct {
	request json.RawMessage
	word    string
}

// approvals are the questions of one turn that somebody is asked about.
type approvals struct {
	calls   map[string]plugins.ToolCall // that run, by item
	decided chan decision
	over    chan struct{}
	wg      sync.WaitGroup
}

func (a *approvals) start() {
	a.calls, a.decided, a.over = map[string]plugins.ToolCall{}, make(chan decision), make(chan struct{})
}

// stop gives up all questions and waits for the end of the asking.
func (a *approvals) stop() {
	close(a.over)
	a.wg.Wait()
}

// requested handles a request of the CLI.
func (r *run) requested(ctx context.Context, e appserver.Event) error {
	if e.Method == "item/tool/call" && len(r.tools.names) > 0 {
		r.hold(e.Request)
		return nil
	}
	kind, ok := strings.CutSuffix(e.Method, "/requestApproval")
	if !ok || (kind != "item/commandExecution" && kind != "item/fileChange") {
		return r.client.Refuse(e.Request, "clinvk does not do this")
	}
	var p struct {
		ItemID  string `json:"itemId"`
		Command string `json:"command"`
		Dir     string `json:"cwd"`
		Reason  string `json:"reason"`
	}
	if err := json.Unmarshal(e.Params, &p); err != nil {
		return fmt.Errorf("reading a request for approval: %w", err)
	}
	if r.turn.Approval == plugins.ApprovalAuto || r.turn.Approval == plugins.ApprovalNone {
		return r.client.Reply(e.Request, object{"decision": allow})
	}
	call, ok := r.approvals.calls[p.ItemID]
	if !ok {
		call, _ = item{Type: "commandExecution", ID: p.ItemID, Command: p.Command, Dir: p.Dir}.call()
	}
	if err := r.begin(); err != nil {
		return err
	}
	r.ask(ctx, e.Request, plugins.Approval{ID: string(e.Request), Call: call, Reason: p.Reason})
	return nil
}

// ask asks the client while the turn goes on. With nobody to ask it is a no.
func (r *run) ask(ctx context.Context, request json.RawMessage, a plugins.Approval) {
	ctx, cancel := context.WithCancel(ctx)
	r.approvals.wg.Go(func() {
		defer cancel()
		stopped := make(chan struct{})
		defer close(stopped)
		r.approvals.wg.Go(func() {
			select {
			case <-r.approvals.over:
				cancel()
			case <-stopped:
			}
		})
		word := deny
		if d, err := r.out.Approve(ctx, a); err == nil && d.Allow {
			word = allow
			if d.Remember {
				word = allowForThread
			}
		}
		select {
		case r.approvals.decided <- decision{request, word}:
		case <-r.approvals.over:
		}
	})
}
