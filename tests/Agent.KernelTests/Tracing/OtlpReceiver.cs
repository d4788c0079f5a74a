using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Agent.TestNet;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Agent.KernelTests.Tracing;

/// <summary>An OpenTelemetry collector in a network namespace: takes OTLP over HTTP or gRPC, keeps the spans.</summary>
internal sealed class OtlpReceiver : IAsyncDisposable
{
    private const string GrpcPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    private const int GrpcHeaderBytes = 5;

    private readonly ConcurrentQueue<OtlpSpan> spans = new();
    private readonly WebApplication app;

    private OtlpReceiver(WebApplication app, int port) => (this.app, Port) = (app, port);

    public int Port { get; }

    public IReadOnlyList<OtlpSpan> Spans => [.. spans];

    public static async Task<OtlpReceiver> ListenAsync(NetNamespace place, bool grpc)
    {
        Socket socket = place.OpenSocket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        socket.Listen();
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenHandle(
            (ulong)socket.Handle, options => options.Protocols = grpc ? HttpProtocols.Http2 : HttpProtocols.Http1));
        WebApplication app = builder.Build();
        var receiver = new OtlpReceiver(app, ((IPEndPoint)socket.LocalEndPoint!).Port);
        app.Run(receiver.TakeAsync);
        await app.StartAsync();
        socket.SafeHandle.SetHandleAsInvalid(); // it is the server's now
        return receiver;
    }

    public ValueTask DisposeAsync() => app.DisposeAsync();

    private async Task TakeAsync(HttpContext context)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body, context.RequestAborted);
        byte[] bytes = body.ToArray();
        switch (context.Request.Path.Value)
        {
            case "/v1/traces" when context.Request.ContentType == "application/x-protobuf":
                Keep(bytes);
                context.Response.ContentType = "application/x-protobuf";
                break;
            case GrpcPath:
                Keep(bytes.AsSpan(GrpcHeaderBytes));
                context.Response.ContentType = "application/grpc";
                context.Response.DeclareTrailer("grpc-status");
                await context.Response.Body.WriteAsync(new byte[GrpcHeaderBytes], context.RequestAborted);
                context.Response.AppendTrailer("grpc-status", "0");
                break;
            default:
                context.Response.StatusCode = StatusCodes.Status404NotFound;
                break;
        }
    }

    private void Keep(ReadOnlySpan<byte> request)
    {
        foreach (OtlpSpan span in OtlpSpan.Of(request))
        {
            spans.Enqueue(span);
        }
    }
}
