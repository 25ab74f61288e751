package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

const (
	fetchTime  = 5 * time.Second // of one request, body included
	fetchBytes = 1 << 20         // of one body, decompressed
	urlBytes   = 2048            // of a jwks_uri

	minFresh, maxFresh = time.Minute, time.Hour // of what an issuer states
)

// newClient returns a client that follows no redirect: where one leads was
// never configured. It trusts the authorities of ca, or those of the system if
// ca is empty.
func newClient(transport http.RoundTripper, ca []byte) (*http.Client, error) {
	if transport == nil {
		transport = http.DefaultTransport
	}
	standard, ok := transport.(*http.Transport)
	if ok {
		standard = standard.Clone()
		standard.MaxResponseHeaderBytes = 64 << 10
		transport = standard
	}
	switch {
	case len(ca) > 0 && !ok:
		return nil, fmt.Errorf("a CA for a transport of type %T, want *http.Transport", transport)
	case len(ca) > 0:
		roots, err := authorities(ca)
		if err != nil {
			return nil, fmt.Errorf("CA: %w", err)
		}
		standard.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// authorities reads the certificates of a PEM file; blocks of other types, and
// text between blocks, are left out.
func authorities(file []byte) (*x509.CertPool, error) {
	pool, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n, err)
		}
		pool.AddCert(certificate)
	}
	if n == 0 {
		return nil, errors.New("no certificate in PEM form")
	}
	return pool, nil
}

// checkURL returns raw parsed if documents may be fetched from there: over
// https, or over http from this machine, or from any one if insecure.
func checkURL(raw string, insecure bool) (*url.URL, error) {
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
	case u.Scheme == "https", u.Scheme == "http" && (insecure || loopback(u.Hostname())):
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
	body, header, err := s.get(ctx, at)
	if err == nil {
		keys, err = parseSet(body, s.log)
	}
	if err != nil {
		s.found = "" // it may have moved
		return nil, fmt.Errorf("key set %s: %w", at, err)
	}
	keys.fresh = freshness(header)
	return keys, nil
}

// freshness is how long a document may be used by its max-age (RFC 9111 §5.2.2)
// less the time that it spent in caches (§5.1): within our bounds, or 0 if it
// does not say. Of two it takes the shorter.
func freshness(header http.Header) time.Duration {
	least := time.Duration(-1)
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		age := seconds(strings.Trim(value, `"`))
		if least < 0 || age < least {
			least = age
		}
	}
	if least < 0 {
		return 0
	}
	return min(max(least-seconds(header.Get("Age")), minFresh), maxFresh)
}

// seconds reads a delta-seconds (RFC 9111 §1.2.2) up to a day; 0 if it is none.
func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return time.Duration(min(n, 24*60*60)) * time.Second
}

// discover returns the jwks_uri of the first metadata document that is the
// issuer's: RFC 8414 §3.1 with its path inserted, then OpenID Connect with the
// path inserted, then OpenID Connect Discovery §4.1 with the path in front.
func (s *Source) discover(ctx context.Context) (string, error) {
	issuer, err := checkURL(s.issuer, s.insecure)
	if err != nil {
		return "", err
	}
	var failures []error
	for _, at := range discoveryURLs(issuer) {
		body, _, err := s.get(ctx, at)
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
	if _, err := checkURL(uri, s.insecure); err != nil {
		return "", fmt.Errorf("jwks_uri %.200q: %w", uri, err)
	}
	return uri, nil
}

var errNoAnswer = errors.New("no answer")

// get returns the body and the header of a 200.
func (s *Source) get(ctx context.Context, at string) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "cedargate")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("status %d, want 200", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, fetchBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if len(body) > fetchBytes {
		return nil, nil, fmt.Errorf("body of more than %d bytes", fetchBytes)
	}
	return body, response.Header, nil
}
