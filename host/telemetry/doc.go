// Package telemetry counts what the server does, for Prometheus.
package telemetry
