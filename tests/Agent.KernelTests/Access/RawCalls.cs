using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;

namespace Agent.KernelTests.Access;

/// <summary>gRPC by hand, over the daemon's socket: what no client library would send.</summary>
internal static class RawCalls
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static async Task<Stream> UnixAsync(AccessLab access)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(access.Lab.Daemon.SocketPath), Cancel);
        return new NetworkStream(socket, ownsSocket: true);
    }

    public static HttpClient RawClient(AccessLab access) => new(new SocketsHttpHandler
    {
        ConnectCallback = async (_, _) => await UnixAsync(access),
    });

    public static async Task<HttpResponseMessage> AskAsync(
        HttpClient http, string method, byte[] message, string encoding = "identity")
    {
        using HttpRequestMessage request = new(
            HttpMethod.Post, $"http://localhost/agent.v1.SecurityGroupAgent/{method}")
        {
            Content = new ByteArrayContent(message),
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        request.Headers.Add("te", "trailers");
        request.Headers.Add("grpc-encoding", encoding);
        return await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancel);
    }

    public static byte[] Framed(byte[] message, bool compressed = false)
    {
        byte[] length = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(length, message.Length);
        return [(byte)(compressed ? 1 : 0), .. length, .. message];
    }

    /// <summary>As a number; null: it is not known yet.</summary>
    public static string? Status(HttpResponseMessage answer) =>
        answer.Headers.TryGetValues("grpc-status", out IEnumerable<string>? early) ? early.Single()
        : answer.TrailingHeaders.TryGetValues("grpc-status", out IEnumerable<string>? late) ? late.Single() : null;
}
