package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/clinvk/clinvk/host/catalog"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// contractRevision is the minor revision of the contract that this host knows.
const contractRevision = 2

// prepared is what a plugin said before it was put into service.
type prepared struct {
	describe *backendv1.DescribeResponse
	health   *backendv1.HealthResponse
	warnings []string
	models   []*backendv1.Model // nil: none were listed, or some are known already
}

// prepare takes a fresh process through Describe, Configure and Health, each with
// its own limit. The error is a *startError.
func (u *unit) prepare(ctx context.Context, i *instance) (*prepared, error) {
	t := u.config.Timings
	p := &prepared{}
	var err error
	if p.describe, err = u.describe(ctx, i); err != nil {
		return nil, err
	}
	if p.warnings, err = u.configure(ctx, i, p.describe); err != nil {
		return nil, err
	}
	err = bounded(ctx, t.Health, func(ctx context.Context) error {
		if err := checkLiveness(ctx, i); err != nil {
			return err
		}
		var err error
		p.health, err = i.backend.Health(ctx, &backendv1.HealthRequest{}, grpc.MaxCallRecvMsgSize(maxReport))
		return err
	})
	if err != nil {
		return nil, failedCall(ctx, i, stageHealth, t.Health, err)
	}
	return p, nil
}

// describe asks a fresh process what it is. The error is a *startError.
func (u *unit) describe(ctx context.Context, i *instance) (d *backendv1.DescribeResponse, err error) {
	limit := u.config.Timings.Describe
	err = bounded(ctx, limit, func(ctx context.Context) (err error) {
		d, err = i.backend.Describe(ctx, &backendv1.DescribeRequest{HostVersion: u.config.HostVersion, ContractRevision: contractRevision}, grpc.MaxCallRecvMsgSize(maxDescribe))
		return err
	})
	if err != nil {
		return nil, failedCall(ctx, i, stageDescribe, limit, err)
	}
	if name := d.GetName(); name != u.entry.Name {
		return nil, &startError{
			stage: stageDescribe, permanent: true,
			err:    fmt.Errorf("the plugin calls itself %q, its file is named for %q", name, u.entry.Name),
			remedy: "name the file after the backend",
		}
	}
	return d, nil
}

func bounded(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}

// checkLiveness asks grpc.health.v1, which answers without the plugin author's
// code.
func checkLiveness(ctx context.Context, i *instance) error {
	r, err := i.liveness.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: livenessService})
	if err != nil {
		return err
	}
	if s := r.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return status.Errorf(codes.Unavailable, "grpc.health.v1 says %s", s)
	}
	return nil
}

// configure hands over the settings and returns the warnings.
func (u *unit) configure(ctx context.Context, i *instance, d *backendv1.DescribeResponse) ([]string, error) {
	limit := u.config.Timings.Configure
	if check := i.settings.Check; check != nil {
		if err := check(d); err != nil {
			return nil, &startError{stage: stageConfigure, permanent: true, err: err, remedy: "correct it; the change is noticed"}
		}
	}
	request, err := u.configuration(i, d)
	if err != nil {
		return nil, &startError{stage: stageConfigure, permanent: true, err: err}
	}
	i.process.Redact(append(secrets(request.GetEnvironment()), settingsSecrets(request.GetConfig().AsMap())...))
	var response *backendv1.ConfigureResponse
	err = bounded(ctx, limit, func(ctx context.Context) error {
		response, err = i.backend.Configure(ctx, request, grpc.MaxCallRecvMsgSize(maxReport))
		return err
	})
	if err != nil {
		return nil, failedCall(ctx, i, stageConfigure, limit, err)
	}
	var warnings, problems []string
	for _, g := range response.GetDiagnostics() {
		text := g.GetSummary()
		if g.GetPath() != "" {
			text = g.GetPath() + ": " + text
		}
		if g.GetDetail() != "" {
			text += " (" + g.GetDetail() + ")"
		}
		if g.GetSeverity() == backendv1.Severity_SEVERITY_WARNING {
			warnings = append(warnings, text)
		} else {
			problems = append(problems, text)
		}
	}
	if len(problems) > 0 {
		return nil, &startError{
			stage: stageConfigure, permanent: true, err: errors.New(strings.Join(problems, "; ")),
			remedy: fmt.Sprintf("correct backends.%s in the configuration", u.entry.Name),
		}
	}
	return warnings, nil
}

// configuration makes the request. State survives restarts, scratch belongs to
// one process.
func (u *unit) configuration(i *instance, d *backendv1.DescribeResponse) (*backendv1.ConfigureRequest, error) {
	s := i.settings
	r := &backendv1.ConfigureRequest{
		StateDir: filepath.Join(u.config.StateDir, u.entry.Name), ScratchDir: filepath.Join(i.dir, "scratch"),
		Environment: u.environment(s, i.entry, d.GetEnvironment()), Command: s.Command,
	}
	if err := os.MkdirAll(r.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	if err := os.Mkdir(r.ScratchDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the scratch directory: %w", err)
	}
	if s.Warm >= 0 {
		warm := uint32(min(s.Warm, maxWarm))
		r.Warm = &warm
	}
	if len(s.Config) > 0 {
		var config map[string]any
		if err := json.Unmarshal(s.Config, &config); err != nil {
			return nil, fmt.Errorf("the settings are no JSON object: %w", err)
		}
		var err error
		if r.Config, err = structpb.NewStruct(config); err != nil {
			return nil, fmt.Errorf("the settings cannot be sent: %w", err)
		}
	}
	return r, nil
}

// maxWarm is more spares than any machine holds.
const maxWarm = 1 << 16

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// environment is what the CLI gets: what the plugin asks for, the server has and
// the policy grants, and what the operator sets.
func (u *unit) environment(s Settings, e catalog.Entry, wanted []string) map[string]string {
	env := map[string]string{}
	var withheld []string
	for _, name := range wanted {
		// CLINVK_API_KEYS and its like are the server's secrets.
		if !variable.MatchString(name) || strings.HasPrefix(strings.ToUpper(name), "CLINVK_") {
			continue
		}
		value, ok := u.config.LookupEnv(name)
		if !ok {
			continue
		}
		if u.config.Policy.Granted(e, e.SHA256, name) {
			env[name] = value
		} else if _, given := s.Environment[name]; !given {
			withheld = append(withheld, name)
		}
	}
	if len(withheld) > 0 {
		u.log.Info("variables that the plugin asks for are withheld", "names", withheld,
			"remedy", fmt.Sprintf("name them in backends.%s.env or approve them", e.Name))
	}
	for name, value := range s.Environment {
		env[name] = value
	}
	return env
}

var secretName = regexp.MustCompile(`(?i)KEY|TOKEN|SECRET|PASS|AUTH|CREDENTIAL`)

// secrets are the values that must never be logged, by the names they have.
func secrets(env map[string]string) []string {
	var values []string
	for name, value := range env {
		if secretName.MatchString(name) {
			values = append(values, value)
		}
	}
	return values
}

// settingsSecrets are those among a plugin's own settings.
func settingsSecrets(settings map[string]any) []string {
	var values []string
	for name, value := range settings {
		switch v := value.(type) {
		case string:
			if secretName.MatchString(name) {
				values = append(values, v)
			}
		case map[string]any:
			values = append(values, settingsSecrets(v)...)
		}
	}
	return values
}

// Bounds of a model list: more is a plugin gone wrong.
const (
	modelPages = 20
	modelsMost = 5000
	modelsSize = 4 << 20 // bytes
)

// listModels reads all pages.
func listModels(ctx context.Context, i *instance) ([]*backendv1.Model, error) {
	models := []*backendv1.Model{}
	token, size := "", 0
	for range modelPages {
		r, err := i.backend.ListModels(ctx, &backendv1.ListModelsRequest{PageSize: 1000, PageToken: token}, grpc.MaxCallRecvMsgSize(maxModels))
		if err != nil {
			return nil, fmt.Errorf("listing models: %w", err)
		}
		if size += proto.Size(r); size > modelsSize {
			return nil, fmt.Errorf("listing models: the list is larger than %d MiB", modelsSize>>20)
		}
		models = append(models, r.GetModels()...)
		if token = r.GetNextPageToken(); token == "" || len(models) > modelsMost {
			break
		}
	}
	return models[:min(len(models), modelsMost)], nil
}
