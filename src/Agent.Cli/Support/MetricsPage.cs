using System.Net;
using System.Net.Sockets;

namespace Agent.Cli.Support;

/// <summary>The page that Prometheus reads.</summary>
internal static class MetricsPage
{
    /// <param name="address">host:port, or the path of a Unix socket.</param>
    /// <param name="cancel">Gives up.</param>
    /// <exception cref="HttpRequestException">Nobody answers there, or with an error.</exception>
    public static async Task<string> ReadAsync(string address, CancellationToken cancel)
    {
        bool socket = address.StartsWith('/');
        using var handler = new SocketsHttpHandler { UseProxy = false };
        if (socket)
        {
            handler.ConnectCallback = (_, give) =>
                AgentConnection.OpenAsync(new UnixDomainSocketEndPoint(address), give);
        }

        using var client = new HttpClient(handler);
        return await client.GetStringAsync(
            new Uri($"http://{(socket ? "localhost" : address)}/metrics"), cancel).ConfigureAwait(false);
    }

    /// <summary>Whether it can be an address at all.</summary>
    public static bool IsAddress(string address) => address.StartsWith('/')
        ? address.Length <= 107
        : IPEndPoint.TryParse(address, out IPEndPoint? end) && end.Port > 0;
}
