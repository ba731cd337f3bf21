package telemetry

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// desc describes a gauge or counter that is read when it is asked for.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("clinvk", "", name), help, labels, nil)
}

var (
	descRunning   = desc("turns_running", "Turns that run.", "backend")
	descQueued    = desc("turns_queued", "Turns that wait for a place.", "backend")
	descLimit     = desc("turns_limit", "Turns that may run at a time.", "backend")
	descUp        = desc("backend_up", "1 when a turn would be tried: the plugin runs and its CLI says that it can.", "backend")
	descState     = desc("plugin_state", "1 for the state that the plugin is in; the others are absent.", "backend", "state")
	descRestarts  = desc("plugin_restarts_total", "Processes of the plugin after the first.", "backend")
	descMemory    = desc("plugin_memory_bytes", "Memory of the plugin and all that it started; absent: not known.", "backend")
	descProcesses = desc("plugin_processes", "Processes of the plugin and all that it started; absent: not known.", "backend")
	descSessions  = desc("sessions", "Kept sessions.")
)

// backends tells how the backends are at the moment of asking.
type backends struct{ engine Engine }

func (backends) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descRunning, descQueued, descLimit, descUp, descState, descRestarts, descMemory, descProcesses,
	} {
		out <- d
	}
}

func (b backends) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	for _, info := range b.engine.Backends() {
		running, queued, limit := b.engine.Load(info.Name)
		send(descRunning, prometheus.GaugeValue, float64(running), info.Name)
		send(descQueued, prometheus.GaugeValue, float64(queued), info.Name)
		send(descLimit, prometheus.GaugeValue, float64(limit), info.Name)
		up := 0.0
		if info.Available() {
			up = 1
		}
		send(descUp, prometheus.GaugeValue, up, info.Name)
		send(descState, prometheus.GaugeValue, 1, info.Name, info.State)
		send(descRestarts, prometheus.CounterValue, float64(info.Restarts), info.Name)
		if info.Memory > 0 {
			send(descMemory, prometheus.GaugeValue, float64(info.Memory), info.Name)
		}
		if info.Processes > 0 {
			send(descProcesses, prometheus.GaugeValue, float64(info.Processes), info.Name)
		}
	}
}

// sessions tells how many are kept.
type sessions struct{ count func() (int, bool) }

func (sessions) Describe(out chan<- *prometheus.Desc) { out <- descSessions }

func (s sessions) Collect(out chan<- prometheus.Metric) {
	if n, ok := s.count(); ok {
		out <- prometheus.MustNewConstMetric(descSessions, prometheus.GaugeValue, float64(n))
	}
}

// statusLabel is the status as text, without an allocation for the usual ones.
func statusLabel(status int) string {
	switch status {
	case 0, 200: // a handler that writes nothing has said that all is well
		return "200"
	case 400:
		return "400"
	case 404:
		return "404"
	}
	return strconv.Itoa(status)
}
