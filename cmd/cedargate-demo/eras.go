package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// eras lists the tools under each protocol version.
func (s *story) eras(ctx context.Context) error {
	s.say("github is an MCP server with sessions, payments one without. Above they were")
	s.say("asked under %s and %s. Here each is asked under every version that", withSessions, withoutSessions)
	s.say("Cedargate lets through to it.")
	session := []string{"DELETE", "GET", "initialize", "notifications/initialized", "tools/list"}
	eras := []struct {
		version, server string
		messages        []string
	}{
		{"2024-11-05", "github", session},
		{"2025-03-26", "github", session},
		{"2025-06-18", "github", session},
		{withSessions, "github", session},
		{withoutSessions, "payments", []string{"server/discover", "tools/list"}},
	}
	for _, e := range eras {
		if err := s.era(ctx, e.version, e.server, e.messages); err != nil {
			return fmt.Errorf("%s at %s: %w", e.version, e.server, err)
		}
	}
	if err := s.fallsBack(ctx); err != nil {
		return err
	}
	s.apart()
	return nil
}

// apart states that neither server has seen a request of the other's era.
func (s *story) apart() {
	strays := 0
	for _, r := range s.world.github.Requests() {
		if r.Header.Get("mcp-protocol-version") == withoutSessions {
			strays++
		}
	}
	for _, r := range s.world.payments.Requests() {
		if r.Header.Get("mcp-protocol-version") != withoutSessions || r.Header.Get("mcp-session-id") != "" {
			strays++
		}
	}
	s.say("\nNo request of one era has reached the server of the other:")
	s.state("strays", strays, 0)
}

// fallsBack lets a client choose that likes the newest version best.
func (s *story) fallsBack(ctx context.Context) error {
	s.say("\nA client that begins with %s asks github.", withoutSessions)
	c := s.world.newClient("alice", s.endpoint("github"), s.aliceAt("github"))
	trace, err := s.joins(ctx, c, "")
	if err != nil {
		return err
	}
	r, err := s.gate.record(ctx, trace, func(r record) bool { return r["layer"] == "protocol" })
	if err != nil {
		return err
	}
	s.state("refused", fmt.Sprintf("%s: HTTP %v, %s", r["method"], r["status"], r["reason"]), "server/discover: HTTP 400, unsupported_version")
	s.state("version", c.session.InitializeResult().ProtocolVersion, withSessions)
	return c.close()
}

// era opens a session, lists the tools and closes it, all of it one trace, and
// states which messages Cedargate judged.
func (s *story) era(ctx context.Context, version, server string, messages []string) error {
	s.say("\nalice lists the tools of %s under %s.", server, version)
	c := s.world.newClient("alice", s.endpoint(server), s.aliceAt(server))
	trace, err := s.joins(ctx, c, version)
	if err != nil {
		return err
	}
	s.state("version", c.session.InitializeResult().ProtocolVersion, version)
	s.state("session", c.session.ID() != "", len(messages) > 2)
	result, err := c.session.ListTools(ctx, nil)
	if err != nil {
		return err
	}
	s.state("tools", len(result.Tools), 6)
	if err := c.close(); err != nil {
		return err
	}
	r, err := s.gate.record(ctx, trace, func(r record) bool { return r["method"] == "tools/list" })
	if err != nil {
		return err
	}
	s.state("record", fmt.Sprintf("%s %s by %s", r["protocol_version"], r["decision"], names(r.question().texts("policies"))),
		version+" allow by readers-list")
	judged, err := s.judged(ctx, trace, len(messages))
	if err != nil {
		return err
	}
	s.state("judged", strings.Join(judged, ", "), strings.Join(messages, ", "))
	s.state("upstream", called(len(s.world.reached(trace)), nil), called(len(messages), nil))
	return nil
}

// judged waits for n records of a trace and returns what they are about.
func (s *story) judged(ctx context.Context, trace string, n int) ([]string, error) {
	var names []string
	_, err := s.gate.record(ctx, trace, func(r record) bool {
		name := r.text("method")
		if name == "" {
			name = r.text("http_method")
		}
		names = append(names, name)
		return len(names) == n
	})
	slices.Sort(names)
	return names, err
}
