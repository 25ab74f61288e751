package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// happened looks back at what Cedargate wrote down.
func (s *story) happened(ctx context.Context) error {
	var failed []error
	for _, c := range []*client{s.alice, s.bob, s.carol} {
		if c != nil {
			failed = append(failed, c.close())
		}
	}
	return errors.Join(errors.Join(failed...), s.counts(ctx), s.trace(ctx), s.measures(ctx))
}

// counts shows the records by event and layer.
func (s *story) counts(ctx context.Context) error {
	s.say("The records of the first gate, by event and layer:")
	records := s.gate.cedargate.Records()
	sums := map[string]int{}
	for _, r := range records {
		sums[fmt.Sprintf("%-22v %-15v %v", r["event"], r["layer"], r["decision"])]++
	}
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(sums)) {
		s.show(fmt.Sprintf("%10d", sums[kind]), kind)
		total += sums[kind]
	}
	s.show(fmt.Sprintf("%10d", total), "in all")
	s.check("sum", total == len(records), len(records), total)
	return s.addsUp(ctx)
}

// addsUp compares the records with Envoy's own count of its checks.
func (s *story) addsUp(ctx context.Context) error {
	stats, err := s.gate.envoy.Stats(ctx)
	if err != nil {
		return err
	}
	count := func(name string) int64 {
		n, ok := stats["http.mcp.ext_authz.cedargate."+name]
		s.check("counter "+name, ok, "one of Envoy's", "none")
		return n
	}
	allowed, denied, failed := count("ok"), count("denied"), count("error")
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// A record may be read a moment after the answer that it stands for.
	read := int64(0)
	_, err = s.gate.cedargate.WaitRecord(ctx, func(map[string]any) bool {
		read++
		return read >= allowed+denied
	})
	passed, answered := int64(0), int64(0)
	for _, r := range s.gate.cedargate.Records() {
		// To Envoy the metadata document is a denial: Cedargate answers it, and
		// no server is called.
		if r["decision"] == "allow" && r["event"] != "metadata" {
			passed++
		} else {
			answered++
		}
	}
	s.say("\nEnvoy's own count says the same:")
	s.state("checks", checks(allowed, denied, failed), checks(passed, answered, 0))
	return err
}

func checks(passed, answered, failed int64) string {
	return fmt.Sprintf("%d: %d passed on to the server, %d answered by Cedargate, %d failed",
		passed+answered+failed, passed, answered, failed)
}

// trace shows the spans of the call that came at two in the morning.
func (s *story) trace(ctx context.Context) error {
	if s.followed == nil || s.followed.record == nil {
		return errors.New("no call to follow")
	}
	s.say("\nThe call to the night office, as a tracing backend shows it:")
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id := s.followed.record.text("decision_id")
	ours, err := s.world.collector.Wait(ctx, func(sp stack.Span) bool {
		return sp.Service == "cedargate" && sp.Attributes["cedargate.decision_id"] == id
	})
	if err != nil {
		return err
	}
	// From the inside out: our span, Envoy's call of Check, the request.
	path := []stack.Span{ours}
	for range 2 {
		parent, err := s.world.collector.Wait(ctx, func(sp stack.Span) bool { return sp.SpanID == path[0].ParentID })
		if err != nil {
			return fmt.Errorf("parent of %s: %w", path[0].Name, err)
		}
		path = append([]stack.Span{parent}, path...)
	}
	s.state("trace", ours.TraceID, s.followed.trace)
	indent := ""
	for i, sp := range path {
		s.state("span", fmt.Sprintf("%s%s: %s", indent, sp.Service, sp.Name), fmt.Sprintf("%s%s", indent, spanNames[i]))
		s.check("trace of "+sp.Name, sp.TraceID == ours.TraceID, ours.TraceID, sp.TraceID)
		indent += "  "
	}
	return nil
}

// spanNames are those of one request. It is not changed.
var spanNames = []string{
	"envoy: ingress",
	"envoy: async envoy.service.auth.v3.Authorization.Check egress",
	"cedargate: tools/call read_file",
}
