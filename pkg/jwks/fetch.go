package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

const (
	fetchTime  = 5 * time.Second // of one request, body included
	fetchBytes = 1 << 20         // of one body, decompressed
	urlBytes   = 2048            // of a jwks_uri
)

// newClient returns a client that follows no redirect: where one leads was
// never configured.
func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = http.DefaultTransport
	}
	if standard, ok := transport.(*http.Transport); ok {
		bounded := standard.Clone()
		bounded.MaxResponseHeaderBytes = 64 << 10
		transport = bounded
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// checkURL returns raw parsed if keys may be fetched from there: over https, or
// over http from this machine.
func checkURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case len(raw) > urlBytes:
		return nil, fmt.Errorf("longer than %d bytes", urlBytes)
	case u.Host == "" || u.Hostname() == "":
		return nil, errors.New("no host")
	case u.User != nil || u.Fragment != "":
		return nil, errors.New("has a userinfo or a fragment")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return u, nil
	}
	return nil, errors.New("neither https nor http to a loopback host")
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}

// fetch gets the key set. It knows where the set is from the configuration, or
// from the last discovery unless rediscover is true.
func (s *Source) fetch(ctx context.Context, rediscover bool) (keys *set, err error) {
	// A bug in the reading of a document must not end a process that still has
	// good keys.
	defer func() {
		if p := recover(); p != nil {
			keys, err = nil, fmt.Errorf("reading the documents of the issuer: panic: %v", p)
		}
	}()
	at := s.fixed
	if at == "" {
		if s.found == "" || rediscover {
			if s.found, err = s.discover(ctx); err != nil {
				return nil, err
			}
		}
		at = s.found
	}
	body, err := s.get(ctx, at)
	if err == nil {
		keys, err = parseSet(body, s.log)
	}
	if err != nil {
		s.found = "" // it may have moved
		return nil, fmt.Errorf("key set %s: %w", at, err)
	}
	return keys, nil
}

// discover returns the jwks_uri of the first metadata document that is the
// issuer's: RFC 8414 §3.1 with its path inserted, then OpenID Connect with the
// path inserted, then OpenID Connect Discovery §4.1 with the path in front.
func (s *Source) discover(ctx context.Context) (string, error) {
	issuer, err := checkURL(s.issuer)
	if err != nil {
		return "", err
	}
	var failures []error
	for _, at := range discoveryURLs(issuer) {
		body, err := s.get(ctx, at)
		if err == nil {
			var found string
			if found, err = s.jwksURI(body); err == nil {
				return found, nil
			}
		}
		failures = append(failures, fmt.Errorf("discovery %s: %w", at, err))
		if errors.Is(err, errNoAnswer) {
			break // the same host would not answer the next one either
		}
	}
	return "", errors.Join(failures...)
}

func discoveryURLs(issuer *url.URL) []string {
	origin := issuer.Scheme + "://" + issuer.Host
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	return slices.Compact([]string{
		origin + "/.well-known/oauth-authorization-server" + path,
		origin + "/.well-known/openid-configuration" + path,
		origin + path + "/.well-known/openid-configuration",
	})
}

// jwksURI reads a metadata document. The issuer must be equal: without that one
// tenant of a host could speak for another (RFC 8414 §3.3).
func (s *Source) jwksURI(body []byte) (string, error) {
	doc, err := strictjson.Parse(body, strictjson.Limits{Depth: 32, Number: 256})
	if err != nil {
		return "", err
	}
	if got := doc.Get("issuer").Text(); got != s.issuer {
		return "", fmt.Errorf("issuer %.200q, want %q", got, s.issuer)
	}
	uri := doc.Get("jwks_uri").Text()
	if uri == "" {
		return "", errors.New("no jwks_uri")
	}
	if _, err := checkURL(uri); err != nil {
		return "", fmt.Errorf("jwks_uri %.200q: %w", uri, err)
	}
	return uri, nil
}

var errNoAnswer = errors.New("no answer")

// get returns the body of a 200.
func (s *Source) get(ctx context.Context, at string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "cedargate")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d, want 200", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, fetchBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if len(body) > fetchBytes {
		return nil, fmt.Errorf("body of more than %d bytes", fetchBytes)
	}
	return body, nil
}
