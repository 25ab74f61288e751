package audit

import (
	"context"
	"encoding/json"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Attributes of MCP and of generative AI, from the semantic conventions of
// OpenTelemetry for generative AI (status Development), which the core
// conventions no longer carry, and our own.
const (
	mcpMethodName      = attribute.Key("mcp.method.name")
	mcpResourceURI     = attribute.Key("mcp.resource.uri")
	mcpProtocolVersion = attribute.Key("mcp.protocol.version")
	genAIToolName      = attribute.Key("gen_ai.tool.name")
	genAIPromptName    = attribute.Key("gen_ai.prompt.name")
	genAIOperationName = attribute.Key("gen_ai.operation.name")
	jsonrpcRequestID   = attribute.Key("jsonrpc.request.id")

	keyDecision   = attribute.Key("cedargate.decision")
	keyReason     = attribute.Key("cedargate.reason")
	keyLayer      = attribute.Key("cedargate.layer")
	keyStatus     = attribute.Key("cedargate.status")
	keyServer     = attribute.Key("cedargate.server")
	keyPrincipal  = attribute.Key("cedargate.principal")
	keyClient     = attribute.Key("cedargate.client")
	keySession    = attribute.Key("cedargate.session")
	keyPolicies   = attribute.Key("cedargate.policies")
	keyErrors     = attribute.Key("cedargate.policy_errors")
	keyPolicySet  = attribute.Key("cedargate.policy_set")
	keyDecisionID = attribute.Key("cedargate.decision_id")
)

// Annotate writes r on the span of its check. A refusal is an answer, not an
// error: the status of the span is an error only when the fault is ours (503).
//
// The span is named "tools/call refund" once a policy was asked; before that
// the words are anybody's, and a backend groups spans by name.
func Annotate(span trace.Span, r Record) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attributes(&r)...)
	if r.Layer == "authorization" && r.Method != "" {
		span.SetName(spanName(&r))
	}
	if r.Status == http.StatusServiceUnavailable {
		span.SetAttributes(semconv.ErrorTypeKey.String(clean(r.Reason, longText)))
		span.SetStatus(codes.Error, clean(r.Reason, longText))
	}
}

func spanName(r *Record) string {
	name := clean(r.Method, shortText)
	switch {
	case r.Tool != "":
		name += " " + clean(r.Tool, shortText)
	case r.Prompt != "":
		name += " " + clean(r.Prompt, shortText)
	}
	return name
}

func attributes(r *Record) []attribute.KeyValue {
	as := make([]attribute.KeyValue, 0, 24)
	text := func(key attribute.Key, value string) {
		// An exporter refuses a whole batch for one string that is not UTF-8.
		if value != "" {
			as = append(as, key.String(clean(value, longText)))
		}
	}
	text(mcpMethodName, r.Method)
	text(genAIToolName, r.Tool)
	text(genAIPromptName, r.Prompt)
	text(mcpResourceURI, r.URI)
	text(jsonrpcRequestID, requestID(r.RPCID))
	text(mcpProtocolVersion, r.ProtocolVersion)
	if r.Method == "tools/call" {
		as = append(as, genAIOperationName.String("execute_tool"))
	}
	text(semconv.ClientAddressKey, r.SourceAddress)
	text(semconv.UserAgentOriginalKey, r.UserAgent)
	text(keyDecision, r.Decision)
	text(keyReason, r.Reason)
	text(keyLayer, r.Layer)
	text(keyServer, r.Server)
	text(keyPrincipal, r.Principal)
	text(keyClient, r.Client)
	text(keySession, r.Session) // the hash; mcp.session.id would be the secret
	text(keyPolicySet, r.PolicySet)
	text(keyDecisionID, r.DecisionID)
	if r.Status != 0 {
		as = append(as, keyStatus.Int(r.Status))
	}
	policies, erred := deciding(r.Questions)
	if len(policies) > 0 {
		as = append(as, keyPolicies.StringSlice(policies))
	}
	if len(erred) > 0 {
		as = append(as, keyErrors.StringSlice(erred))
	}
	return as
}

// deciding lists the policies of all questions, each once, in their order.
func deciding(questions []Question) (policies, erred []string) {
	add := func(list []string, seen map[string]bool, ids []string) []string {
		for _, id := range ids {
			if !seen[id] {
				seen[id] = true
				list = append(list, clean(id, longText))
			}
		}
		return list
	}
	seen, seenErred := map[string]bool{}, map[string]bool{}
	for _, q := range questions {
		policies = add(policies, seen, q.Policies)
		erred = add(erred, seenErred, q.Errors)
	}
	return policies, erred
}

// requestID is the id as the conventions want it: without the quotes of JSON.
func requestID(written string) string {
	var id string
	if json.Unmarshal([]byte(written), &id) == nil {
		return id
	}
	return written
}

// Link returns the link to the span that a client names in params._meta
// (SEP-414), and whether there is one. The client chooses it, so it is never a
// parent: it could switch sampling off, or put our spans into another trace.
func Link(traceparent, tracestate string) (trace.Link, bool) {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{
		"traceparent": traceparent,
		"tracestate":  tracestate,
	})
	sc := trace.SpanContextFromContext(ctx)
	return trace.Link{SpanContext: sc}, sc.IsValid()
}
