package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/config"
	"github.com/cedargate/cedargate/pkg/jwks"
)

// adminHandler serves /healthz, which says that the process lives; /readyz,
// which says whether it can verify the tokens of every required issuer, and with
// ?verbose more of each issuer and what became of the last edit; and /metrics.
func adminHandler(live *reloader, shown *metrics) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		a := live.serving.Load()
		if missing := withoutKeys(a); len(missing) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, "not ready: no keys of issuers", missing)
		} else {
			fmt.Fprintln(w, "ready: policy set", a.Policies.Hash())
		}
		if r.URL.Query().Has("verbose") {
			reportIssuers(w, a, time.Now())
			live.report(w)
		}
	})
	mux.Handle("GET /metrics", shown.handler)
	return mux
}

// withoutKeys names the required issuers whose keys are not there.
func withoutKeys(a *config.Assembly) []string {
	var missing []string
	for i, keys := range a.Keys {
		if issuer := a.Config.Issuers[i]; issuer.Required && !keys.Ready() {
			missing = append(missing, issuer.Name)
		}
	}
	return missing
}

// reportIssuers writes a line for each issuer, for a person.
func reportIssuers(w io.Writer, a *config.Assembly, now time.Time) {
	for i, keys := range a.Keys {
		issuer := a.Config.Issuers[i]
		need := "required"
		if !issuer.Required {
			need = "not required"
		}
		fmt.Fprintf(w, "issuer %s: %s, %s\n", issuer.Name, need, describeKeys(keys.State(), now))
	}
}

func describeKeys(s jwks.State, now time.Time) string {
	text := fmt.Sprintf("%d keys, ", s.Keys)
	if s.Fetched.IsZero() {
		text += "never fetched"
	} else {
		text += fmt.Sprintf("fetched %s ago", now.Sub(s.Fetched).Round(time.Second))
	}
	if s.Failure == nil {
		return text
	}
	return text + ", last error: " + strings.ReplaceAll(s.Failure.Error(), "\n", "; ")
}

// keysByName gives the sources that serve, by the names of their issuers.
func (r *reloader) keysByName() map[string]*jwks.Source {
	sources := map[string]*jwks.Source{}
	a := r.serving.Load()
	for i, keys := range a.Keys {
		sources[a.Config.Issuers[i].Name] = keys
	}
	return sources
}
