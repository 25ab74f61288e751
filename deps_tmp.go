//go:build deps

// Package cedargate keeps the pinned modules in go.mod until the code imports them.
package cedargate

import (
	_ "github.com/fsnotify/fsnotify"
	_ "github.com/maypok86/otter/v2"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "go.opentelemetry.io/otel/exporters/prometheus"
	_ "go.opentelemetry.io/otel/metric"
	_ "go.opentelemetry.io/otel/sdk/metric"
	_ "golang.org/x/oauth2"
)
