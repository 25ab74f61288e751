package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
)

// readme is a message that anyone with a token for github may send.
const readme = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"README.md"}}}`

// connect shows what a client without a token learns: that it needs one, and
// from whom.
func (s *story) connect(ctx context.Context) error {
	c := s.world.newClient("someone", s.endpoint("github"), nil)
	s.say("An MCP client that has no token opens a session at github.")
	trace := c.wire.begin()
	err := c.connect(ctx, withSessions)
	s.show("client", fmt.Sprint(err))
	s.check("client", strings.Contains(fmt.Sprint(err), "authentication required"), "authentication required", err)
	s.state("upstream", called(len(s.world.reached(trace)), nil), called(0, nil))

	s.say("\nOver HTTP that is, for any message:")
	s.sends(ctx, c, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, unauthenticated("no_credential"))
	metadata := s.world.metadata("github")
	challenge := c.wire.reply().header.Get("www-authenticate")
	s.challenge(challenge, "", fmt.Sprintf("resource_metadata=%q", metadata))
	link := regexp.MustCompile(`resource_metadata="([^"]*)"`).FindStringSubmatch(challenge)
	if link == nil {
		return errors.New("the challenge has no link to follow")
	}
	return s.readsMetadata(ctx, link[1])
}

// challenge states a WWW-Authenticate header, one parameter on a line.
func (s *story) challenge(got, first, last string) {
	want := "Bearer " + first + `scope="tools:read tools:write", ` + last
	s.state("challenge", strings.ReplaceAll(got, ", ", ",\n"), strings.ReplaceAll(want, ", ", ",\n"))
}

// metadata is the URL of a resource's metadata document (RFC 9728 §3.1).
func (w *world) metadata(server string) string {
	return "http://" + w.address + "/.well-known/oauth-protected-resource/" + server + "/mcp"
}

// readsMetadata follows the link of a challenge.
func (s *story) readsMetadata(ctx context.Context, link string) error {
	s.say("\nIt follows the link to the metadata document.")
	c := s.world.newClient("someone", link, nil)
	trace := c.wire.begin()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return err
	}
	got, err := c.wire.send(req)
	if err != nil {
		return err
	}
	s.state("answer", fmt.Sprintf("HTTP %d, %s", got.status, got.header.Get("content-type")), "HTTP 200, application/json")
	var document map[string]any
	if err := json.Unmarshal(got.body, &document); err != nil {
		return err
	}
	// A client compares it with the URL that it was given (RFC 9728 §3.3).
	s.state("resource", document["resource"], s.endpoint("github"))
	s.state("issuers", document["authorization_servers"], []string{s.world.issuer.URL()})
	s.state("scopes", document["scopes_supported"], []string{"tools:read", "tools:write"})
	r, err := s.gate.record(ctx, trace, nil)
	if err != nil {
		return err
	}
	s.state("decision", decisionLine(r["decision"], r["layer"], r["event"]), decisionLine("allow", "routing", "metadata"))
	s.state("upstream", called(len(s.world.reached(trace)), nil), called(0, nil))
	return nil
}

// sends sends a message that is written out, for what no library sends.
func (s *story) sends(ctx context.Context, c *client, body string, want expectation) {
	s.ask(ctx, c, "", func(ctx context.Context) (string, error) {
		_, err := c.post(ctx, body, nil)
		return "", err
	}, want)
}

// signIn gives everyone a token and opens their sessions.
func (s *story) signIn(ctx context.Context) error {
	failed := s.signsIn(ctx)
	s.say("The development issuer mints the tokens of alice, bob and carol. Each is for")
	s.say("one server, its audience.")
	s.alice = s.world.newClient("alice", s.endpoint("github"), s.aliceAt("github"))
	s.bob = s.world.newClient("bob", s.endpoint("github"), map[string]any{
		"aud": s.world.resource("github"), "scope": "tools:read tools:write", "roles": []string{"repo-admin"},
	})
	s.carol = s.world.newClient("carol", s.endpoint("payments"), map[string]any{
		"aud": s.world.resource("payments"), "scope": "tools:read refunds:write", "roles": []string{"support"},
	})
	return errors.Join(
		failed,
		s.opens(ctx, s.alice, "initialize", withSessions),
		s.opens(ctx, s.bob, "initialize", withSessions),
		s.opens(ctx, s.carol, "server/discover", withoutSessions))
}

// aliceAt are the claims of a token for alice that some servers take. It may
// read, and she has no role that matters.
func (s *story) aliceAt(servers ...string) map[string]any {
	var audience []string
	for _, server := range servers {
		audience = append(audience, s.world.resource(server))
	}
	return map[string]any{"aud": audience, "scope": "tools:read", "roles": []string{"developer"}}
}

// opens opens a session and states what the record of its first message says.
func (s *story) opens(ctx context.Context, c *client, method, version string) error {
	s.say("\n%s opens a session at %s, with a token that says", c.name, c.server())
	s.show("scope", fmt.Sprint(c.claims["scope"]))
	s.show("roles", fmt.Sprint(c.claims["roles"]))
	trace, err := s.joins(ctx, c, version)
	if err != nil {
		return err
	}
	s.state("version", c.session.InitializeResult().ProtocolVersion, version)
	r, err := s.gate.record(ctx, trace, func(r record) bool { return r["method"] == method })
	if err != nil {
		return err
	}
	want := permitted("User/corp/"+c.name, []string{"cedargate:lifecycle"})
	want.action, want.resource = method, "Server/"+c.server()
	s.decided(&asked{client: c, record: r}, want)
	return nil
}

// joins opens a session and returns the trace of that. It waits until Cedargate
// has seen the stream, which clients of the older versions open in the
// background.
func (s *story) joins(ctx context.Context, c *client, version string) (trace string, err error) {
	trace = c.wire.begin()
	if err := c.connect(ctx, version); err != nil {
		return "", fmt.Errorf("%s connects to %s: %w", c.name, c.endpoint, err)
	}
	if c.session.ID() == "" {
		return trace, nil
	}
	_, err = s.gate.record(ctx, trace, func(r record) bool { return r["http_method"] == http.MethodGet })
	return trace, err
}

// server is the name of the server at the client's endpoint.
func (c *client) server() string {
	parts := strings.Split(c.endpoint, "/")
	return parts[len(parts)-2]
}

// validate sends tokens that must not be believed.
func (s *story) validate(ctx context.Context) error {
	good := s.aliceAt("github")
	other := s.world.resource("payments")
	with := func(name string, value any) map[string]any {
		changed := maps.Clone(good)
		changed[name] = value
		return changed
	}
	tokens := []struct {
		what    string
		claims  map[string]any
		options []authztest.MintOption
		want    expectation
	}{
		{"has expired an hour ago", with("exp", time.Now().Add(-time.Hour).Unix()), nil, unauthenticated("expired")},
		{"is forged: signed by another key under the issuer's key id", good, []authztest.MintOption{authztest.Forged()}, unauthenticated("bad_signature")},
		{"is for the other server", with("aud", other), nil, unauthenticated("audience_mismatch", presented(other))},
		{"has the algorithm none, and no signature", good, []authztest.MintOption{authztest.Unsigned()}, unauthenticated("algorithm")},
	}
	for _, t := range tokens {
		s.say("\nA token of alice %s.", t.what)
		c := s.world.newClient("alice", s.endpoint("github"), t.claims, t.options...)
		s.sends(ctx, c, readme, t.want)
		s.challenge(c.wire.reply().header.Get("www-authenticate"), `error="invalid_token", `,
			fmt.Sprintf("resource_metadata=%q, error_description=%q", s.world.metadata("github"), t.want.answer))
	}
	return nil
}

// authorize shows who may do what.
func (s *story) authorize(ctx context.Context) error {
	for _, c := range []*client{s.alice, s.bob, s.carol} {
		if c == nil || c.session == nil {
			return errors.New("not everyone has a session")
		}
	}
	const alice, bob, carol = "User/corp/alice", "User/corp/bob", "User/corp/carol"
	s.listsTools(ctx, s.alice, permitted(alice, []string{"readers-list"}, scopes("tools:read")))
	s.callsTool(ctx, s.alice, "read_file", map[string]any{"path": "README.md"},
		permitted(alice, []string{"readers-read"}, scopes("tools:read")))
	deletion := map[string]any{"repo": "cedargate"}
	s.callsTool(ctx, s.alice, "delete_repo", deletion,
		forbidden(alice, "destructive tools need the role repo-admin", []string{"destruction-needs-the-role"}, roles("developer")))
	s.callsTool(ctx, s.bob, "delete_repo", deletion,
		permitted(bob, []string{"admins-delete"}, roles("repo-admin")))
	s.readsResource(ctx, s.alice, "file:///srv/docs/guide.md", permitted(alice, []string{"documents-open"}))
	s.readsResource(ctx, s.alice, "file:///srv/private/salaries.csv", unpermitted(alice))
	s.callsTool(ctx, s.carol, "refund", map[string]any{"amount": 120, "currency": "EUR"},
		permitted(carol, []string{"support-refunds"}, roles("support"), argument("amount", 120)))
	s.callsTool(ctx, s.carol, "refund", map[string]any{"amount": 9000, "currency": "EUR"},
		forbidden(carol, "a refund is at most 500", []string{"refund-limit"}, roles("support"), argument("amount", 9000)))
	return nil
}

// hours makes the same call with the same token at two offices.
func (s *story) hours(ctx context.Context) error {
	s.say("Two offices far apart, one token for both, one call. Nothing but the hour")
	s.say("differs: time_zone of the two servers was chosen when the demo started.")
	one := s.world.newClient("alice", s.endpoint("morning"), s.aliceAt("morning", "night"))
	other := *one
	other.endpoint, other.wire = s.endpoint("night"), &wire{token: one.wire.token}
	s.state("tokens", len(slices.Compact([]string{one.wire.token, other.wire.token})), 1)
	defer func() { s.fail("closing the sessions", errors.Join(one.close(), other.close())) }()
	for _, c := range []*client{one, &other} {
		if _, err := s.joins(ctx, c, withoutSessions); err != nil {
			return err
		}
	}
	day, err := time.LoadLocation(zoneAt(s.world.opened, 9))
	if err != nil {
		return err
	}
	night, err := time.LoadLocation(zoneAt(s.world.opened, 2))
	if err != nil {
		return err
	}
	call := map[string]any{"path": "README.md"}
	s.callsTool(ctx, one, "read_file", call,
		permitted("User/corp/alice", []string{"readers-read"}, hour(day), scopes("tools:read")))
	s.followed = s.callsTool(ctx, &other, "read_file", call,
		forbidden("User/corp/alice", "the office is open from 09:00 to 17:00", []string{"office-hours"}, hour(night), scopes("tools:read")))
	return nil
}
