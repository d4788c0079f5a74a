using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Globalization;
using System.IO.Pipelines;
using Agent.Daemon.Config;
using Grpc.Core;
using Microsoft.AspNetCore.Http.Features;

namespace Agent.Daemon.Access;

/// <summary>
/// Stands before every call: who asks, may he, are there not too many, is the message not too large. All of it before
/// a message is in memory.
/// </summary>
internal sealed class CallGate(
    GrpcConfig config, CallRate rate, AccessMetrics metrics, Refusals refusals)
{
    /// <summary>What a question may be long; the longest names some thousand vNICs.</summary>
    private const int QuestionBytes = 64 << 10;

    /// <summary>Flag of compression and length, before each message of gRPC.</summary>
    private const int MessageHeaderBytes = 5;

    /// <summary>How much of a client's rate a call takes that is no question.</summary>
    private const int CostlyTokens = 5;

    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(200);

    private readonly int[] running = new int[Enum.GetValues<CallKind>().Length];

    /// <summary>Calls that are being answered, and what each needs.</summary>
    private readonly ConcurrentDictionary<HttpContext, (Guest Guest, Method Method)> calls = new();

    /// <summary>Takes other limits and accounts. Calls that their clients might not make any more end.</summary>
    /// <returns>How many ended.</returns>
    public int Set(GrpcConfig next)
    {
        config = next;
        rate.Set(next.CallsPerSecond, next.CallsBurst);
        int ended = 0;
        foreach ((HttpContext context, (Guest guest, Method method)) in calls)
        {
            if (guest.Caller is { } caller && caller.Role < method.Needs)
            {
                context.Abort();
                ended++;
            }
        }

        return ended;
    }

    public async Task RunAsync(HttpContext context, RequestDelegate next)
    {
        Guest? guest = context.Features.Get<Guest>();
        if (guest?.Caller is not { } caller)
        {
            await MetricsOnlyAsync(context, next).ConfigureAwait(false);
            return;
        }

        string path = context.Request.Path.Value ?? "";
        Method method = Methods.Of(path);
        path = string.Concat(path.Take(100).Select(c => c is < ' ' or > '~' ? '?' : c)); // it is shown
        if (ObjectionTo(guest, caller, method, path) is { } objection)
        {
            await RefuseAsync(context, guest, objection).ConfigureAwait(false);
            return;
        }

        if (!Enter(method.Kind, caller.Role))
        {
            await RefuseAsync(context, guest, new Objection(
                Refusal.Calls, StatusCode.ResourceExhausted,
                $"{caller.Name}: as many calls of this kind ({method.Kind}) are running as may; try again later", Soon))
                .ConfigureAwait(false);
            return;
        }

        metrics.Calling(method.Kind, 1);
        calls[context] = (guest, method);
        try
        {
            await AnswerAsync(context, guest, method, path, next).ConfigureAwait(false);
        }
        finally
        {
            calls.TryRemove(context, out _);
            metrics.Calling(method.Kind, -1);
            Interlocked.Decrement(ref running[(int)method.Kind]);
        }
    }

    private async Task AnswerAsync(
        HttpContext context, Guest guest, Method method, string path, RequestDelegate next)
    {
        if (guest.Caller is not { } caller || caller.Role < method.Needs)
        {
            context.Abort(); // accounts changed since it was let in, and before it was among the calls
            return;
        }

        int most = method.Kind == CallKind.Update ? config.MaxMessageBytes : QuestionBytes;
        if (!method.TakesStream && await IsTooLongAsync(context, most).ConfigureAwait(false))
        {
            await RefuseAsync(context, guest, TooLong(caller, path, most)).ConfigureAwait(false);
            return;
        }

        BeImpatient(context, guest, $"{caller.Name} did not take the answer to {path}");
        await next(context).ConfigureAwait(false);
        if (IsExhausted(context))
        {
            refusals.Add(
                guest.Listener, Refusal.MessageSize, TooLong(caller, path, config.MaxMessageBytes).Message);
        }

        if (context.Response.HasStarted)
        {
            // gRPC leaves an answer in a buffer: the call is not over before its client has taken it.
            await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
        }
    }

    private void BeImpatient(HttpContext context, Guest guest, string what)
    {
        IHttpResponseBodyFeature body = context.Features.GetRequiredFeature<IHttpResponseBodyFeature>();
        context.Features.Set<IHttpResponseBodyFeature>(new PatientBody(body, config.AnswerTimeout, () =>
        {
            refusals.Add(guest.Listener, Refusal.Timeout, what);
            context.Abort();
        }));
    }

    /// <summary>What a client is told, and what is counted.</summary>
    private sealed record Objection(Refusal Reason, StatusCode Code, string Message, TimeSpan? Again = null);

    private Objection? ObjectionTo(Guest guest, Caller caller, Method method, string path)
    {
        string needed = method.Needs.ToString().ToLowerInvariant();
        if (!caller.IsKnown)
        {
            return new Objection(Refusal.Identity, StatusCode.Unauthenticated,
                $"the certificate has no alternative name, so nobody is known; {path} needs the role {needed}:"
                + $" issue one with a name, and {caller.Remedy}");
        }

        if (caller.Role < method.Needs)
        {
            string has = caller.Role == Role.None ? "no role" : $"the role {caller.Role.ToString().ToLowerInvariant()}";
            return new Objection(
                caller.Role == Role.None ? Refusal.Identity : Refusal.Role, StatusCode.PermissionDenied,
                $"{caller.Name} has {has}; {path} needs {needed}: {caller.Remedy}");
        }

        if (!guest.Admit())
        {
            return new Objection(Refusal.Connections, StatusCode.ResourceExhausted,
                $"{caller.Name} has {config.MaxConnectionsPerClient} connections already; use one of them", Soon);
        }

        TimeSpan wait = rate.Take(caller.Name, method.Kind is CallKind.Costly or CallKind.Watch ? CostlyTokens : 1);
        return wait <= TimeSpan.Zero ? null : new Objection(Refusal.Rate, StatusCode.ResourceExhausted,
            $"{caller.Name} asks too often; ask again in {Math.Ceiling(wait.TotalMilliseconds)} ms", wait);
    }

    private static Objection TooLong(Caller caller, string path, int most) => new(
        Refusal.MessageSize, StatusCode.ResourceExhausted,
        $"{caller.Name}: {path} takes no message larger than {most} bytes, or of that many parts");

    /// <summary>Observers never take the last places: half of them are kept for controllers.</summary>
    private bool Enter(CallKind kind, Role role)
    {
        int most = kind switch
        {
            CallKind.Question => config.MaxQuestions,
            CallKind.Costly => config.MaxCostly,
            CallKind.Watch => config.MaxWatches,
            CallKind.Update => config.MaxUpdates,
            _ => throw new System.Diagnostics.UnreachableException(),
        };
        most = role == Role.Controller ? most : Math.Max(1, most / 2);
        if (Interlocked.Increment(ref running[(int)kind]) <= most)
        {
            return true;
        }

        Interlocked.Decrement(ref running[(int)kind]);
        return false;
    }

    // The length stands before the message: a request of one message is judged before it arrives.
    private static async Task<bool> IsTooLongAsync(HttpContext context, int most)
    {
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } body)
        {
            body.MaxRequestBodySize = most + MessageHeaderBytes + 1L; // one more: gRPC itself says what is behind it
        }

        PipeReader reader = context.Request.BodyReader;
        ReadResult read = await reader.ReadAtLeastAsync(MessageHeaderBytes, context.RequestAborted)
            .ConfigureAwait(false);
        bool tooLong = read.Buffer.Length >= MessageHeaderBytes && LengthOf(read.Buffer) > most;
        reader.AdvanceTo(read.Buffer.Start);
        return tooLong;
    }

    private static uint LengthOf(ReadOnlySequence<byte> message)
    {
        Span<byte> header = stackalloc byte[MessageHeaderBytes];
        message.Slice(0, MessageHeaderBytes).CopyTo(header);
        return BinaryPrimitives.ReadUInt32BigEndian(header[1..]);
    }

    // Whom a listener does not ask may read metrics, and nothing else.
    private static Task MetricsOnlyAsync(HttpContext context, RequestDelegate next)
    {
        if (context.Request.Path == "/metrics")
        {
            return next(context);
        }

        context.Response.StatusCode = StatusCodes.Status404NotFound;
        return Task.CompletedTask;
    }

    // Behind this gate only messages in a stream are found too long, and any too heavy.
    private static bool IsExhausted(HttpContext context)
    {
        string exhausted = ((int)StatusCode.ResourceExhausted).ToString(CultureInfo.InvariantCulture);
        return context.Response.Headers["grpc-status"].Contains(exhausted)
            || context.Features.Get<IHttpResponseTrailersFeature>()?.Trailers["grpc-status"].Contains(exhausted)
                == true;
    }

    // An answer without a message: its status is in the headers.
    private async Task RefuseAsync(HttpContext context, Guest guest, Objection objection)
    {
        refusals.Add(guest.Listener, objection.Reason, objection.Message);
        HttpResponse response = context.Response;
        response.ContentType = "application/grpc";
        response.Headers["grpc-status"] = ((int)objection.Code).ToString(CultureInfo.InvariantCulture);
        response.Headers["grpc-message"] = Uri.EscapeDataString(objection.Message);
        if (objection.Again is { } again)
        {
            response.Headers["grpc-retry-pushback-ms"] =
                Math.Ceiling(again.TotalMilliseconds).ToString(CultureInfo.InvariantCulture);
        }

        await response.CompleteAsync().ConfigureAwait(false);
    }
}
