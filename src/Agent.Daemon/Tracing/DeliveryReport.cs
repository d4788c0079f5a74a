namespace Agent.Daemon.Tracing;

/// <summary>Says once when spans cannot be sent, once when they can; the library itself is silent.</summary>
internal sealed class DeliveryReport(HttpMessageHandler inner, ILogger log) : DelegatingHandler(inner)
{
    /// <summary>What was said last; empty: it goes well. Null before the first batch.</summary>
    private string? said;

    protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        try
        {
            return Judged(request, base.Send(request, cancellationToken));
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            Say(request, e.Message);
            throw;
        }
    }

    protected override async Task<HttpResponseMessage> SendAsync(
        HttpRequestMessage request, CancellationToken cancellationToken)
    {
        try
        {
            return Judged(request, await base.SendAsync(request, cancellationToken).ConfigureAwait(false));
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            Say(request, e.Message);
            throw;
        }
    }

    private HttpResponseMessage Judged(HttpRequestMessage request, HttpResponseMessage response)
    {
        Say(request, response.IsSuccessStatusCode ? "" : $"HTTP {(int)response.StatusCode}");
        return response;
    }

    private void Say(HttpRequestMessage request, string reason)
    {
        if (Interlocked.Exchange(ref said, reason) == reason)
        {
            return;
        }

        // Not the whole address: it may hold a password or a token.
        string endpoint = request.RequestUri?.GetComponents(UriComponents.SchemeAndServer, UriFormat.UriEscaped) ?? "";
        if (reason.Length > 0)
        {
            log.TracesUnsent(endpoint, reason);
        }
        else
        {
            log.TracesSent(endpoint);
        }
    }
}
